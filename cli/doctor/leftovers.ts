import { listSessions } from '../../attacher/list-sessions.js';
import { messageOf } from '../../analyzer/errors.js';
import { findStaleWorkspaces, sweepWorkspace } from '../../analyzer/workspace/workspace.js';
import type { Check } from './check.js';

/** What killed runs left behind; removed if `fix`. */
export async function checkLeftovers(fix: boolean): Promise<Check> {
  const name = 'leftovers of killed runs';
  const stale = await findStaleWorkspaces();
  if (stale.length === 0) return { name, status: 'ok', detail: 'none' };
  if (!fix)
    return { name, status: 'limited', detail: stale.join(', '), fix: 'debloat doctor --fix' };
  try {
    for (const dir of stale) await sweepWorkspace(dir);
    return { name, status: 'ok', detail: `removed ${stale.length}` };
  } catch (error) {
    return {
      name,
      status: 'limited',
      detail: messageOf(error),
      fix: 'remove the cause and run `debloat doctor --fix` again',
    };
  }
}

/** What killed sessions left in virtual machines; taken out if `fix`. */
export async function checkSessions(fix: boolean): Promise<Check> {
  const name = 'leftovers in virtual machines';
  const dead = listSessions().filter(({ owner }) => owner === undefined);
  if (dead.length === 0) return { name, status: 'ok', detail: 'none' };
  const ids = dead.map(({ id, target }) => `session ${id} in ${target}`).join(', ');
  if (!fix) return { name, status: 'limited', detail: ids, fix: 'debloat doctor --fix' };
  const problems: string[] = [];
  for (const session of dead) {
    try {
      await session.takeOut(() => undefined);
    } catch (error) {
      problems.push(`session ${session.id} in ${session.target}: ${messageOf(error)}`);
    }
  }
  if (problems.length === 0) return { name, status: 'ok', detail: `removed ${dead.length}` };
  return {
    ...{ name, status: 'limited', detail: problems.join('; ') },
    fix: 'let the virtual machine run, and run `debloat doctor --fix` again',
  };
}
