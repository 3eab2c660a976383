/** What a kernel module says of itself in its section .modinfo. */
export interface ModuleInfo {
  /** Names of the modules that must be loaded before it, with underscores. */
  depends: string[];
  /** Of the kernel that it was made for, as `uname -r` prints it. */
  release: string;
}

/** Read a module's .modinfo: "name=value" texts, each ended by a zero byte (Linux, include/linux/module.h). */
export function moduleInfo(module: Buffer): ModuleInfo {
  const depends = field(module, 'depends') ?? '';
  return {
    depends: depends.split(',').filter(Boolean).map(moduleName),
    release: (field(module, 'vermagic') ?? '').split(' ')[0] ?? '',
  };
}

/** The kernel takes dashes in a module's name as underscores. */
export function moduleName(text: string): string {
  return text.replaceAll('-', '_');
}

function field(module: Buffer, name: string): string | undefined {
  const mark = Buffer.from(`\0${name}=`);
  const at = module.indexOf(mark);
  if (at < 0) return undefined;
  const start = at + mark.length;
  const end = module.indexOf(0, start);
  return module.toString('latin1', start, end < 0 ? module.length : end);
}
