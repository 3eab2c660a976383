import { DebloatError } from '../../analyzer/errors.js';
import { kernelHasText, type GuestKernel } from '../guest/index.js';
import type { ModuleFile } from '../guest/session-frames.js';
import { moduleInfo } from './module-info.js';
import { ModuleTree, readModule } from './module-tree.js';

/**
 * The modules `wanted` from `directory` for a guest's kernel, each after those that it depends on. One
 * that is no file there counts as built in, or loaded. Throws DebloatError where none is there, or one
 * was built for another kernel: nothing was sent to the guest then.
 */
export function modulesFor(
  directory: string,
  kernel: GuestKernel,
  wanted: readonly string[],
): ModuleFile[] {
  const tree = ModuleTree.open(directory, kernel.version);
  const modules = inOrder(tree, wanted);
  if (modules.length === 0) {
    throw new DebloatError(`${tree.directory} has none of the modules ${wanted.join(', ')}.`, {
      hint: `give the directory of the guest's kernel: /lib/modules/${kernel.version}, or a copy of it`,
    });
  }
  const known = new Set<string>();
  for (const { path, vermagic } of modules) {
    if (known.has(vermagic)) continue;
    checkVermagic(path, vermagic, kernel);
    known.add(vermagic);
  }
  return modules;
}

interface FoundModule extends ModuleFile {
  path: string;
  vermagic: string;
}

function inOrder(tree: ModuleTree, wanted: readonly string[]): FoundModule[] {
  const order = new Map<string, FoundModule>();
  const visited = new Set<string>();
  const add = (name: string): void => {
    const path = tree.files.get(name);
    if (path === undefined || visited.has(name)) return;
    visited.add(name);
    const bytes = readModule(path);
    const { depends, before, vermagic } = moduleInfo(bytes, path);
    [...before, ...depends].forEach(add);
    order.set(name, { name, bytes, path, vermagic });
  };
  wanted.forEach(add);
  return [...order.values()];
}

/** The kernel compares the same text (kernel/module/main.c, check_modinfo), and refuses without a word to us. */
function checkVermagic(path: string, vermagic: string, kernel: GuestKernel): void {
  const [release = ''] = vermagic.split(' ', 1);
  if (release !== kernel.version) {
    throw new DebloatError(
      `${path} is for Linux ${release}, but the guest runs Linux ${kernel.version}.`,
      {
        hint: `give the directory of that kernel: /lib/modules/${kernel.version}, or a copy of it`,
      },
    );
  }
  if (kernelHasText(kernel, vermagic)) return;
  throw new DebloatError(
    `${path} is for a Linux ${release} that was built otherwise than the guest’s: "${vermagic.trim()}".`,
    { hint: 'take the modules of the very package that the guest’s kernel is from' },
  );
}
