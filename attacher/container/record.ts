import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DebloatError } from '../../analyzer/errors.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { failedWith } from '../../native/linux/system-error.js';
import { stateDirectory } from '../state-directory.js';

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

const fileOf = (id: string) => join(stateDirectory('containers'), `${id}.json`);

/** Note a session of this process; what takes the note away. Throws DebloatError if the name is in use. */
export function noteSession(session: Omit<ContainerRecord, 'owner'>): () => void {
  if (containerSessions().some(({ id }) => id === session.id)) {
    throw new DebloatError(`A session "${session.id}" exists already.`, {
      hint: 'take another name, or end that one: debloat detach',
    });
  }
  const owner = { pid: process.pid, started: startTimeOf(process.pid) ?? '' };
  mkdirSync(stateDirectory('containers'), { recursive: true, mode: 0o700 });
  const file = fileOf(session.id);
  writeFileSync(`${file}.new`, JSON.stringify({ ...session, owner }), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return () => rmSync(file, { force: true });
}

/** The sessions in containers that live; notes of others are removed. */
export function containerSessions(): ContainerRecord[] {
  let names: string[];
  try {
    names = readdirSync(stateDirectory('containers'));
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'EACCES')) return [];
    throw error;
  }
  return names.flatMap((name) => {
    const record = read(join(stateDirectory('containers'), name));
    if (record === undefined) return [];
    if (startTimeOf(record.owner.pid) === record.owner.started) return [record];
    rmSync(fileOf(record.id), { force: true });
    return [];
  });
}

function read(path: string): ContainerRecord | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // gone meanwhile, or of another version
  }
}
