import { baseName, type ImagePath } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import type { ImageFiles } from '../image-files.js';
import { filesBelow } from '../tree-walk.js';

/** An installed Python distribution's metadata (a .dist-info or .egg-info file or directory). */
export interface Distribution {
  name: string;
  paths: ImagePath[];
}

/** The distributions of a site directory, by each top-level module that they installed. */
export async function distributionsOf(
  site: Node | undefined,
  files: ImageFiles,
): Promise<Map<string, Distribution[]>> {
  const byModule = new Map<string, Distribution[]>();
  for (const node of site?.children?.values() ?? []) {
    const name = /^(.+?)(?:-[^-]*)*\.(?:dist|egg)-info$/.exec(baseName(node.path))?.[1];
    if (name === undefined) continue;
    const paths = node.kind === 'dir' ? [...filesBelow(node)].map(({ path }) => path) : [node.path];
    for (const module of await modulesOf(node, name, files))
      byModule.set(module, [...(byModule.get(module) ?? []), { name, paths }]);
  }
  return byModule;
}

/** By top_level.txt, RECORD or, where it has neither, by its name as an import statement spells it. */
async function modulesOf(node: Node, name: string, files: ImageFiles): Promise<Set<string>> {
  const modules = new Set([name.toLowerCase().replace(/[-.]/g, '_'), name]);
  const child = (file: string): Promise<string> => files.text(node.children?.get(file));
  for (const line of (await child('top_level.txt')).split('\n'))
    if (line.trim() !== '') modules.add(line.trim().split('/')[0] ?? '');
  for (const line of (await child('RECORD')).split('\n')) {
    const first = /^"?([^/,"]+)/.exec(line)?.[1];
    if (first !== undefined && first !== '..' && !first.endsWith('-info'))
      modules.add(first.replace(/\..*$/, ''));
  }
  return modules;
}
