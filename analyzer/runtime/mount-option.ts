import { isAbsolute } from 'node:path';
import { DebloatError, ExitCode } from '../errors.js';

/** One `--mount`, parsed. */
export interface MountOption {
  type: 'bind' | 'volume' | 'tmpfs';
  /** Path on the engine's machine (bind) or a volume's name; undefined for tmpfs and anonymous volumes. */
  source?: string;
  /** Absolute, in the container. */
  target: string;
  readonly: boolean;
  /** Of a tmpfs, bytes. */
  size?: number;
  /** Of a tmpfs, permission bits. */
  mode?: number;
}

const types = ['bind', 'volume', 'tmpfs'] as const;

/** Parse "type=bind,source=/a,target=/b,readonly" as `docker run --mount` does; throws a DebloatError. */
export function parseMount(spec: string): MountOption {
  const fields = new Map(
    spec.split(',').map((field): [string, string] => {
      const at = field.indexOf('=');
      return at < 0 ? [field, 'true'] : [field.slice(0, at), field.slice(at + 1)];
    }),
  );
  const take = (...names: string[]): string | undefined => {
    const name = names.find((candidate) => fields.has(candidate));
    if (name === undefined) return undefined;
    const value = fields.get(name);
    fields.delete(name);
    return value;
  };
  const typeName = take('type') ?? 'volume';
  const type = types.find((known) => known === typeName);
  if (!type) throw wrong(spec, `type "${typeName}" is none of ${types.join(', ')}`);
  const source = take('source', 'src');
  const target = take('target', 'dst', 'destination');
  const readonly = isTrue(spec, take('readonly', 'ro') ?? 'false');
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  const [unknown] = fields.keys();
  if (unknown !== undefined) throw wrong(spec, `the field "${unknown}" is not known`);
  if (target === undefined || !isAbsolute(target)) {
    throw wrong(spec, 'target is to be an absolute path in the container');
  }
  if (type === 'bind' && (source === undefined || !isAbsolute(source))) {
    throw wrong(spec, 'a bind mount needs an absolute source');
  }
  if (type === 'tmpfs' && source !== undefined) throw wrong(spec, 'a tmpfs has no source');
  return {
    type,
    target,
    readonly,
    ...(source !== undefined && { source }),
    ...(size !== undefined && { size: bytes(spec, size) }),
    ...(mode !== undefined && { mode: octal(spec, mode) }),
  };
}

function isTrue(spec: string, value: string): boolean {
  if (/^(true|1)$/i.test(value)) return true;
  if (/^(false|0)$/i.test(value)) return false;
  throw wrong(spec, `readonly is true or false, not "${value}"`);
}

function bytes(spec: string, text: string): number {
  const match = /^(\d+)([kmg]?)b?$/i.exec(text);
  if (!match) throw wrong(spec, `"${text}" is not a size`);
  return Number(match[1]) * 1024 ** ['', 'k', 'm', 'g'].indexOf((match[2] ?? '').toLowerCase());
}

function octal(spec: string, text: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw wrong(spec, `"${text}" is not an octal mode`);
  return Number.parseInt(text, 8);
}

function wrong(spec: string, problem: string): DebloatError {
  return new DebloatError(`--mount ${spec}: ${problem}`, {
    hint: 'for example: --mount type=bind,source=/data,target=/var/lib/data,readonly',
    exitCode: ExitCode.usage,
  });
}
