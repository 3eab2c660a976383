import { baseName, joinPath, normalizePath, parentOf } from '../../image/path.js';
import { always, type ClosureRule, type Need } from './rule.js';

/**
 * PAM (pam.d(5)): a kept program that links libpam keeps the service file of its name and `other`;
 * a kept service file keeps the modules and files that it names.
 */
export function pamRule(): ClosureRule {
  return {
    name: 'PAM',
    policies: always,
    async expand(node, context) {
      const dir = parentOf(node.path);
      if (/\/(?:etc|usr\/lib|usr\/etc)\/pam\.d$/.test(dir))
        return servicesNeeds(
          await context.files.text(node),
          dir,
          (path) => context.tree.resolve(path).node !== undefined,
        );
      const elf = await context.files.elf(node);
      if (elf?.interpreter === undefined || !elf.needed.includes('libpam.so.0')) return [];
      return [baseName(node.path), 'other'].map((service) => ({
        path: `/etc/pam.d/${service}`,
        rule: 'PAM service',
      }));
    },
  };
}

/** What a service file names: modules (searched for beside libpam's usual places), included files. */
export function servicesNeeds(
  text: string,
  dir: string,
  exists: (path: string) => boolean,
): Need[] {
  const needs: Need[] = [];
  for (const raw of text.replace(/\\\n/g, ' ').split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const included = /^@include\s+(\S+)/.exec(line)?.[1];
    const entry = /^-?\w+\s+(\[[^\]]*\]|\w+)\s+(\S+)/.exec(line);
    if (included !== undefined) {
      needs.push({ path: normalizePath(included, dir), rule: 'PAM include' });
    } else if (entry?.[1] === 'include' || entry?.[1] === 'substack') {
      needs.push({ path: normalizePath(entry[2] ?? '', dir), rule: 'PAM include' });
    } else if (entry?.[2] !== undefined) {
      const candidates = entry[2].startsWith('/')
        ? [entry[2]]
        : moduleDirectories.map((modules) => joinPath(modules, entry[2] ?? ''));
      for (const path of candidates.filter(exists)) needs.push({ path, rule: 'PAM module' });
    }
  }
  return needs;
}

const moduleDirectories = [
  ...['x86_64', 'aarch64', 'i386', 'riscv64', 's390x', 'powerpc64le'].map(
    (machine) => `/usr/lib/${machine}-linux-gnu/security`,
  ),
  '/usr/lib/arm-linux-gnueabihf/security',
  '/usr/lib64/security',
  '/usr/lib/security',
  '/lib/security',
  '/lib/x86_64-linux-gnu/security',
  '/lib64/security',
];
