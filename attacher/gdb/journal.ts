import { z } from 'zod';
import { DebloatError } from '../../analyzer/errors.js';
import { SessionNotes } from '../session-notes.js';
import { removeSocketPlace, socketPlace } from '../hot-plug/lent-socket.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { forgetDoor, listenerAddress, stubDoor } from './stub-door.js';

const owner = z.object({ pid: z.int(), started: z.string() });
const hexadecimal = z.string().regex(/^[0-9a-f]{1,16}$/);

/** A disk that was put into a machine by its monitor. */
export const pluggedDisk = z.object({
  monitor: listenerAddress,
  device: z.string(),
  node: z.string(),
  /** Where our server's socket is, if it is served by us. */
  socket: socketPlace.optional(),
});
export type PluggedDisk = z.infer<typeof pluggedDisk>;

/** The serial that a disk of this name has in the guest: what virtio takes of it. */
export function diskSerial(name: string): string {
  return name.slice(0, 20);
}

/** What a session has put into a guest through a gdb stub: all that is needed to take it out again. */
export const gdbRecord = z.object({
  version: z.literal(2),
  id: z.string().regex(/^[0-9a-z-]{1,32}$/),
  /** The process that holds the session, and the hypervisor. */
  owner,
  machine: owner,
  image: z.string(),
  door: stubDoor,
  /** Where a processor was waited for: its address in the guest's kernel. */
  schedule: hexadecimal,
  disk: pluggedDisk.optional(),
  /** Noted before anything of it is in the guest. */
  block: z
    .object({
      /** Padding of the kernel's text: its virtual address there, guest-physical, and the byte that it is made of. */
      text: hexadecimal,
      physical: z.int().min(0),
      filler: z.int().min(0).max(255),
      size: z.int().min(4096),
      /** The page-table entry that it hangs in, and the virtual address that this gives it. */
      entryAddress: z.int().min(0),
      virtual: hexadecimal,
      /** Of the control block and of the stage's code, in the block. */
      control: z.int().min(0),
      code: z.object({ offset: z.int().min(0), size: z.int().min(0) }),
      /** Where a processor is sent. */
      entrance: hexadecimal,
    })
    .optional(),
});
export type GdbRecord = z.infer<typeof gdbRecord>;

const notes = new SessionNotes('sessions', gdbRecord);

/** Note what is about to be in the guest. */
export function writeRecord(record: GdbRecord): void {
  notes.write(record);
}

/** Throws a DebloatError where a session is called so, in whatever machine. */
export function requireNewName(id: string): void {
  if (!gdbSessions().some(({ record }) => record.id === id)) return;
  throw new DebloatError(`A session "${id}" exists already.`, {
    hint: `take another name, or end that one: debloat detach ${id}`,
  });
}

export function removeRecord(id: string): void {
  notes.remove(id);
}

/** The same, but where something of the session is noted to be in the guest. */
export function removeUnplaced(id: string): void {
  const found = gdbSessions().find(({ record }) => record.id === id);
  if (found?.record.block === undefined) removeRecord(id);
}

export const hex = (text: string): bigint => BigInt(`0x${text}`);

/** Whether no session of the machine of process `pid` can have been killed while that stood for it. */
export function isSettled(pid: number): boolean {
  return notes.unchecked().every((note) => {
    const { machine, owner } = (note ?? {}) as Partial<GdbRecord>;
    if (machine !== undefined && machine.pid !== pid) return true;
    return owner !== undefined && startTimeOf(owner.pid) === owner.started;
  });
}

/** Sessions in the machine of process `pid` (of all, without one); those of machines that are gone are forgotten. */
export function gdbSessions(pid?: number): { record: GdbRecord; alive: boolean }[] {
  return notes.all().flatMap((record) => {
    if (pid !== undefined && record.machine.pid !== pid) return [];
    if (startTimeOf(record.machine.pid) !== record.machine.started) {
      if (record.disk?.socket) removeSocketPlace(record.disk.socket);
      forgetDoor(record.door);
      removeRecord(record.id);
      return [];
    }
    return [{ record, alive: startTimeOf(record.owner.pid) === record.owner.started }];
  });
}
