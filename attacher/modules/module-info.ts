import { DebloatError } from '../../analyzer/errors.js';

/** What a kernel module says of itself (include/linux/module.h, MODULE_INFO). */
export interface ModuleInfo {
  /** Modules that it takes symbols from. */
  depends: readonly string[];
  /** Modules that it wants loaded before it, though it takes no symbols from them. */
  before: readonly string[];
  /** The kernel that it was built for: its release, then how it was configured. */
  vermagic: string;
}

const ELF_MAGIC = 0x464c457f;
const CLASS_64_LITTLE = 0x0102;
const ET_REL = 1;
const EM_X86_64 = 62;
const sectionHeaderSize = 64;

/** The name that the kernel knows a module by. */
export const moduleName = (name: string): string => name.replaceAll('-', '_');

/** What the module `bytes` (a .ko, not compressed) says; `path` is for the error where it is none for x86-64. */
export function moduleInfo(bytes: Uint8Array, path: string): ModuleInfo {
  const fields = fieldsIn(bytes, path);
  const vermagic = fields.get('vermagic')?.[0];
  if (vermagic === undefined) throw damaged(path, 'it does not say which kernel it is for');
  const depends = (fields.get('depends') ?? []).flatMap((list) => list.split(','));
  // "pre: a b post: c"
  const before = (fields.get('softdep') ?? []).flatMap((list) =>
    (/\bpre:(.*?)(?=\bpost:|$)/.exec(list)?.[1] ?? '').split(/\s+/),
  );
  const names = (list: string[]) => list.filter(Boolean).map(moduleName);
  return { depends: names(depends), before: names(before), vermagic };
}

/** Section .modinfo: words KEY=VALUE, each with its NUL. */
function fieldsIn(bytes: Uint8Array, path: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (const word of section(bytes, '.modinfo', path).toString('latin1').split('\0')) {
    const at = word.indexOf('=');
    if (at < 1) continue;
    const key = word.slice(0, at);
    fields.set(key, [...(fields.get(key) ?? []), word.slice(at + 1)]);
  }
  return fields;
}

/** The bytes of a section of an ELF64 file (System V ABI, chapter 4). */
function section(bytes: Uint8Array, name: string, path: string): Buffer {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const isElf =
    file.length >= 64 &&
    file.readUInt32LE(0) === ELF_MAGIC &&
    file.readUInt16LE(4) === CLASS_64_LITTLE;
  if (!isElf) throw damaged(path, 'it is no 64-bit ELF file');
  if (file.readUInt16LE(16) !== ET_REL || file.readUInt16LE(18) !== EM_X86_64) {
    throw damaged(path, 'it is not for x86-64');
  }
  const table = Number(file.readBigUInt64LE(40));
  const count = file.readUInt16LE(60);
  const header = (index: number) => {
    const at = table + index * sectionHeaderSize;
    if (index >= count || at + sectionHeaderSize > file.length)
      throw damaged(path, 'it is cut short');
    const start = Number(file.readBigUInt64LE(at + 24));
    const size = Number(file.readBigUInt64LE(at + 32));
    return { name: file.readUInt32LE(at), bytes: file.subarray(start, start + size), size };
  };
  const names = header(file.readUInt16LE(62)).bytes;
  for (let index = 1; index < count; index++) {
    const found = header(index);
    const end = names.indexOf(0, found.name);
    if (end < 0 || names.toString('latin1', found.name, end) !== name) continue;
    if (found.bytes.length !== found.size) throw damaged(path, 'it is cut short');
    return found.bytes;
  }
  throw damaged(path, `it has no section ${name}`);
}

function damaged(path: string, why: string): DebloatError {
  return new DebloatError(`${path} is no kernel module that could be loaded: ${why}.`);
}
