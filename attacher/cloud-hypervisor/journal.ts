import { z } from 'zod';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { removeSocketPlace, socketPlace } from '../hot-plug/lent-socket.js';
import { SessionNotes } from '../session-notes.js';

const process = z.object({ pid: z.int(), started: z.string() });

/** A disk that Cloud Hypervisor's API put into its machine: all that is needed to take it out again. */
export const apiRecord = z.object({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-z-]{1,32}$/),
  /** The process that holds the session, and the hypervisor. */
  owner: process,
  machine: process,
  image: z.string(),
  serial: z.string(),
  /** The API's socket, and the device's id there. */
  api: z.string(),
  device: z.string(),
  /** Where our server's socket is, if it is served by us. */
  socket: socketPlace.optional(),
});
export type ApiRecord = z.infer<typeof apiRecord>;

const notes = new SessionNotes('plugged-disks', apiRecord);

/** Note what is about to be in the machine. */
export function writeApiRecord(record: ApiRecord): void {
  notes.write(record);
}

/** Forget a session, and remove what it had here. */
export function dropApiRecord({ id, socket }: ApiRecord): void {
  if (socket) removeSocketPlace(socket);
  notes.remove(id);
}

/** All such sessions; those of machines that are gone are forgotten. */
export function apiSessions(): { record: ApiRecord; alive: boolean }[] {
  return notes.all().flatMap((record) => {
    if (startTimeOf(record.machine.pid) !== record.machine.started) {
      dropApiRecord(record);
      return [];
    }
    return [{ record, alive: startTimeOf(record.owner.pid) === record.owner.started }];
  });
}
