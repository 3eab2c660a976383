import { normalizePath } from '../../image/path.js';
import { findProgram } from '../tree-walk.js';
import { always, type ClosureRule, type Need } from './rule.js';

export interface Shebang {
  interpreter: string;
  /** The program that /usr/bin/env is asked for, if it is env. */
  envProgram?: string;
}

/** The `#!` line at the start of a file (execve(2): at most 255 bytes, one argument). */
export function parseShebang(head: Buffer): Shebang | undefined {
  if (head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const line = /^#!\s*(\S+)[ \t]*([^\n\r]*)/.exec(head.toString('latin1'));
  const interpreter = line?.[1];
  if (interpreter === undefined) return undefined;
  if (!/(?:^|\/)env$/.test(interpreter)) return { interpreter };
  const envProgram = (line?.[2] ?? '')
    .split(/\s+/)
    .find((word) => word !== '' && !word.startsWith('-') && !word.includes('='));
  return envProgram === undefined ? { interpreter } : { interpreter, envProgram };
}

/** A script that can be executed stays with its interpreter; any other is run by a program that knows its own. */
export function shebangRule(): ClosureRule {
  return {
    name: 'shebang',
    policies: always,
    async expand(node, context) {
      if ((node.inode.mode & 0o111) === 0) return [];
      const shebang = parseShebang(await context.files.head(node));
      if (shebang === undefined) return [];
      const needs: Need[] = [{ path: normalizePath(shebang.interpreter), rule: '#! interpreter' }];
      if (shebang.envProgram !== undefined) {
        const program = findProgram(context.tree, context.environment.path, shebang.envProgram);
        if (program !== undefined) needs.push({ path: program, rule: '#! interpreter by env' });
      }
      return needs;
    },
  };
}
