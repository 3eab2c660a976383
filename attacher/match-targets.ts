import picomatch from 'picomatch';
import { DebloatError, ExitCode } from '../analyzer/errors.js';
import type { ListedTarget } from './list-targets.js';

/**
 * Those of `targets` that `pattern` means, SCHEME://GLOB: the glob is for a machine's process or
 * name, or a container's name. Throws DebloatError (usage) where it is no pattern.
 */
export function matchTargets<T extends Pick<ListedTarget, 'target' | 'name'>>(
  pattern: string,
  targets: readonly T[],
): T[] {
  const [, scheme, glob] = /^(qemu|docker|podman):\/\/(.+)$/s.exec(pattern) ?? [];
  if (scheme === undefined || glob === undefined) {
    throw new DebloatError(`"${pattern}" is no pattern of targets`, {
      hint: "give one like 'qemu://*', 'docker://web-*', 'podman://*'",
      exitCode: ExitCode.usage,
    });
  }
  const matches = picomatch(glob, { dot: true });
  return targets.filter(({ target, name }) => {
    const [of, id = ''] = target.split('://');
    return of === scheme && (matches(id) || (name !== undefined && matches(name)));
  });
}
