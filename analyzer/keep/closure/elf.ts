import { baseName, parentOf } from '../../image/path.js';
import { always, type ClosureRule, type Need } from './rule.js';

/**
 * What the kernel and ld.so(8) load with a program or library: its interpreter and DT_NEEDED libraries;
 * at balanced and safe the builds for newer processors too, as production may have another one.
 */
export function elfRule(): ClosureRule {
  return {
    name: 'elf',
    policies: always,
    async expand(node, context) {
      const needs: Need[] = [];
      const seen = new Set([node.path]);
      const visit = async (
        object: typeof node,
        inherited: readonly string[] | undefined,
      ): Promise<void> => {
        const origins = [...new Set(context.namesOf(object).map(parentOf))];
        const found = await context.loader.dependencies(object, origins, inherited);
        if (found.interpreter !== undefined)
          needs.push({ path: found.interpreter, rule: 'ELF interpreter', because: object.path });
        for (const { name, path, node: library, variants } of found.libraries) {
          needs.push({ path, rule: `DT_NEEDED ${name}`, because: object.path });
          if (context.policy !== 'strict')
            for (const variant of variants)
              needs.push({
                path: variant,
                rule: `${baseName(parentOf(variant))} build of ${name}`,
                because: object.path,
              });
          // A DT_RPATH goes down to the libraries' own libraries, which later see no trace of it.
          if (found.inherited.length > 0 && !seen.has(library.path)) {
            seen.add(library.path);
            await visit(library, found.inherited);
          }
        }
      };
      await visit(node, undefined);
      return needs;
    },
  };
}
