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

/** A processor that stands at a safe point, and what it was asked to do there. */
export const notedPoint = z.object({
  /** The stub's name for it. */
  thread: z.string().regex(/^[0-9a-zA-Z.]{1,32}$/),
  /** All that the stub tells of it in up to 64 bits, before anything was changed. */
  registers: z.record(z.string(), hexadecimal),
  /** The call that was begun, until what came of it has been noted. */
  call: z
    .object({
      function: hexadecimal,
      parameters: z.array(hexadecimal).max(4),
      /** Where its return address is; of no two calls from one point the same. */
      stack: hexadecimal,
    })
    .optional(),
});
export type NotedPoint = z.infer<typeof notedPoint>;

/** What a session has put into a guest through a gdb stub: all that is needed to take it out again. */
export const gdbRecord = z.object({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-z-]{1,32}$/),
  /** The process that holds the session, and the hypervisor. */
  owner,
  machine: owner,
  image: z.string(),
  door: stubDoor,
  /** Of the guest's kernel; addresses are hexadecimal. */
  functions: z.object({
    schedule: hexadecimal,
    panic: hexadecimal,
    allocatePages: hexadecimal,
    freePages: hexadecimal,
  }),
  disk: pluggedDisk.optional(),
  block: z
    .object({
      /** In the kernel's direct mapping, and guest-physical. */
      virtual: hexadecimal,
      physical: z.int().min(0),
      order: z.int().min(0).max(10),
      size: z.int().min(4096),
    })
    .optional(),
  /** The page-table entry that it hangs in, and the virtual address that this gives it. */
  hung: z.object({ entryAddress: z.int().min(0), virtualAddress: hexadecimal }).optional(),
  /** Of the control block, in the block. */
  control: z.int().min(0),
  /** What queues the stage's work. */
  enqueue: hexadecimal,
  /** While a processor stands for us: all that is needed to have it go on by itself. */
  point: notedPoint.optional(),
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

/** The record of one session: what was noted is on disk before the guest is touched by it. */
export class Journal {
  #record: GdbRecord;

  constructor(record: GdbRecord) {
    this.#record = record;
  }

  get record(): GdbRecord {
    return this.#record;
  }

  /** Note changes; `undefined` takes a note away. */
  note(changes: { [name in keyof GdbRecord]?: GdbRecord[name] | undefined }): void {
    // A file has no undefined: what it reads back is a record.
    const next = { ...this.#record, ...changes } as GdbRecord;
    writeRecord(next);
    this.#record = next;
  }
}

export const hex = (text: string): bigint => BigInt(`0x${text}`);

/** What the stub is asked to call and to stop at. */
export function functionsOf({ functions }: Pick<GdbRecord, 'functions'>) {
  const { schedule, panic, allocatePages, freePages } = functions;
  return {
    schedule: hex(schedule),
    panic: hex(panic),
    allocatePages: hex(allocatePages),
    freePages: hex(freePages),
  };
}

/** Whether all that is noted is of process `own`, or of other machines than that of process `pid`, and no processor stands for it. */
export function standsNowhere(pid: number, own: number): boolean {
  return notes.unchecked().every((note) => {
    const { machine, owner, point } = (note ?? {}) as Partial<GdbRecord>;
    if (machine !== undefined && machine.pid !== pid) return true;
    return owner?.pid === own && point === undefined;
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
