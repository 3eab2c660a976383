import { z } from 'zod';
import { DebloatError } from '../../analyzer/errors.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { SessionNotes } from '../session-notes.js';

const schema = z.object({
  id: z.string().regex(/^[0-9a-z-]{1,32}$/),
  /** As the user named it. */
  target: z.string(),
  /** The overlay's digest. */
  overlay: z.string(),
  /** The process that holds the session. */
  owner: z.object({ pid: z.int(), started: z.string() }),
});

/** A session in a container. All of it goes with its process, so this is only for people to see. */
export type ContainerRecord = z.infer<typeof schema>;

const notes = new SessionNotes('containers', schema);

/** Note a session of this process; what takes the note away. Throws DebloatError if the name is in use. */
export function noteSession(session: Omit<ContainerRecord, 'owner'>): () => void {
  if (containerSessions().some(({ id }) => id === session.id)) {
    throw new DebloatError(`A session "${session.id}" exists already.`, {
      hint: `take another name, or end that one: debloat detach ${session.id}`,
    });
  }
  const owner = { pid: process.pid, started: startTimeOf(process.pid) ?? '' };
  notes.write({ ...session, owner });
  return () => notes.remove(session.id);
}

/** The sessions in containers that live; notes of others are removed. */
export function containerSessions(): ContainerRecord[] {
  return notes.all().filter(({ id, owner }) => {
    const lives = startTimeOf(owner.pid) === owner.started;
    if (!lives) notes.remove(id);
    return lives;
  });
}
