import { DebloatError, ExitCode } from '../analyzer/errors.js';

/** What a session can be opened in, by how the user names it. */
export type Target =
  /** The hypervisor's process. */
  | { readonly kind: 'vm'; readonly pid: number }
  | { readonly kind: 'container'; readonly engine: EngineName; readonly name: string }
  /** Any process of a container, whoever started it. */
  | { readonly kind: 'process'; readonly pid: number };

export type EngineName = 'docker' | 'podman';

/** The targets that are containers. */
export type ContainerTarget = Exclude<Target, { kind: 'vm' }>;

/** Read qemu://PID, a bare PID, docker://NAME, podman://NAME or container://PID; else a DebloatError (usage). */
export function parseTarget(text: string): Target {
  const [, scheme = 'qemu', rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(text) ?? [];
  const pid = /^[1-9]\d{0,9}$/.test(rest) && Number(rest) < 2 ** 31 ? Number(rest) : undefined;
  if (scheme === 'qemu' && pid !== undefined) return { kind: 'vm', pid };
  if (scheme === 'container' && pid !== undefined) return { kind: 'process', pid };
  // The names that engines take (moby: RestrictedNamePattern); an ID is one, too.
  const isName = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(rest);
  if (isName && (scheme === 'docker' || scheme === 'podman')) {
    return { kind: 'container', engine: scheme, name: rest };
  }
  throw new DebloatError(`"${text}" names neither a virtual machine nor a container`, {
    hint: 'a target is like qemu://4242 or 4242 (a hypervisor’s process), docker://web, podman://web, container://4242; `debloat targets` lists them',
    exitCode: ExitCode.usage,
  });
}
