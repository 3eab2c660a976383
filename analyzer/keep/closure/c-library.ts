import { baseName, joinPath, parentOf } from '../../image/path.js';
import type { Node } from '../../image/types.js';
import { always, notStrict, type ClosureContext, type ClosureRule, type Need } from './rule.js';

const glibc = /^(?:libc\.so\.6|libc-2\.\d+\.so)$/;

/** Libraries that glibc opens by itself: libgcc_s for pthread_cancel(3); libidn2 for AI_IDN of getaddrinfo(3). */
export function cLibraryRule(): ClosureRule {
  return {
    name: 'C library',
    policies: always,
    async expand(node, context) {
      if (!glibc.test(baseName(node.path))) return [];
      const names = ['libgcc_s.so.1', ...(context.policy === 'safe' ? ['libidn2.so.0'] : [])];
      return opened(names, node, context, (name) => `${name} opened by the C library`);
    },
  };
}

/** The NSS modules that nsswitch.conf(5) names; glibc opens them for getpwnam(3), getaddrinfo(3), … */
export function nssRule(): ClosureRule {
  return {
    name: 'NSS',
    policies: always,
    async expand(node, context) {
      if (!glibc.test(baseName(node.path))) return [];
      const config = await context.files.text(
        context.tree.resolve('/etc/nsswitch.conf').node ??
          context.tree.resolve('/usr/etc/nsswitch.conf').node,
      );
      const names = nssServices(config).map((service) => `libnss_${service}.so.2`);
      return opened(names, node, context, (name) => `NSS module ${name} (nsswitch.conf)`);
    },
  };
}

/** Services of all databases of an nsswitch.conf, each once; glibc's own default if it names none. */
export function nssServices(config: string): string[] {
  const services = new Set<string>();
  for (const line of config.split('\n')) {
    const list = /^\s*\w+:(.*)/.exec(line.replace(/#.*/, ''))?.[1] ?? '';
    for (const word of list.replace(/\[[^\]]*\]/g, ' ').split(/\s+/))
      if (/^[\w-]+$/.test(word)) services.add(word);
  }
  return services.size > 0 ? [...services] : ['files', 'dns'];
}

/** Character sets that glibc converts with modules; the ones that ordinary data comes in. */
const commonCharsets =
  /^(?:UTF-(?:7|16|32)|UNICODE|ISO8859-1|ISO8859-15|CP1252|gconv-modules(?:\.cache)?)(?:\.so)?$/;

/**
 * iconv(3) modules: strict keeps those that were opened, balanced the common ones besides, and every
 * one if another than these was opened (then data in any character set may come); safe keeps all.
 */
export function gconvRule(): ClosureRule {
  return {
    name: 'gconv',
    policies: notStrict,
    expand(node, context) {
      if (!glibc.test(baseName(node.path))) return [];
      const dir = joinPath(parentOf(node.path), 'gconv');
      const modules = [...(context.tree.get(dir)?.children?.values() ?? [])];
      const all =
        context.policy === 'safe' || modules.some(({ path }) => wasOpenedRarely(path, context));
      return modules
        .filter(({ path, kind }) => kind !== 'dir' && (all || commonCharsets.test(baseName(path))))
        .map(({ path }) => ({ path, rule: 'iconv module' }));
    },
  };
}

function wasOpenedRarely(path: string, context: ClosureContext): boolean {
  return (
    context.trace.paths[path]?.access.open !== undefined && !commonCharsets.test(baseName(path))
  );
}

async function opened(
  names: readonly string[],
  node: Node,
  context: ClosureContext,
  rule: (name: string) => string,
): Promise<Need[]> {
  const needs: Need[] = [];
  for (const name of names) {
    const library = await context.loader.findByName(name, node);
    if (library !== undefined) needs.push({ path: library.path, rule: rule(name) });
  }
  return needs;
}
