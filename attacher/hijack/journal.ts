import { z } from 'zod';
import { pageSize } from './arena.js';

const descriptors = z.strictObject({
  notify: z.int(),
  acknowledge: z.int(),
  status: z.int(),
  interrupt: z.int(),
});

/**
 * What an attach has put, or is about to put, into a hypervisor and its guest: all that is needed to
 * take it out again. Addresses in the guest's kernel are hexadecimal.
 */
export const attachRecord = z.strictObject({
  version: z.literal(1),
  /** Of the session. */
  id: z.string(),
  /** The process that serves it, and when that started (/proc/PID/stat, field 22). */
  owner: z.strictObject({ pid: z.int(), started: z.string() }),
  /** What is served, for people. */
  image: z.string(),
  ramPages: z.int().min(1).max(512),
  guestAddress: z.int().min(0),
  virtualAddress: z.string(),
  /** Where the hypervisor has the file; 0 until it has. */
  userAddress: z.int().min(0),
  /** Numbers of the slots for guest memory and for the registers. */
  slots: z.strictObject({ ram: z.int(), passive: z.int() }).optional(),
  /** The hypervisor's descriptors. */
  events: descriptors.optional(),
  gsi: z.int().optional(),
  /** Guest-physical address of the page-table entry that maps the arena. */
  entryAddress: z.int().min(0).optional(),
  /** Of the control block, in the file. */
  control: z.int().min(0),
  /** The stage's entry for a hijacked processor. */
  entry: z.string(),
  deviceId: z.int().min(0),
  /** What the guest was last sent to do: nothing of ours runs there, adding, there, removing. */
  guest: z.enum(['untouched', 'adding', 'there', 'removing', 'removed']),
});

export type AttachRecord = z.infer<typeof attachRecord>;

/** Word 0 of the page says which of two halves counts; each begins with its length. */
const header = 64;
const half = (pageSize - header) / 2;

/**
 * The journal in an arena's first page, written before each step. A record counts from one store of
 * a word on, so that a reader finds either the old one or the new one, whenever we die.
 */
export class Journal {
  readonly #page: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;

  /** `page`: 4096 bytes at an address divisible by 4. */
  constructor(page: Uint8Array) {
    this.#page = page;
    this.#view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    this.#words = new Int32Array(page.buffer, page.byteOffset, 1);
  }

  write(record: AttachRecord): void {
    const bytes = new TextEncoder().encode(JSON.stringify(record));
    if (bytes.length > half - 4) throw new RangeError('the record is too long for its page');
    const next = Atomics.load(this.#words, 0) === 1 ? 2 : 1;
    const at = header + (next - 1) * half;
    this.#view.setUint32(at, bytes.length, true);
    this.#page.set(bytes, at + 4);
    Atomics.store(this.#words, 0, next);
  }

  /** The record; undefined if none was written, or it is not one of ours. */
  read(): AttachRecord | undefined {
    const current = Atomics.load(this.#words, 0);
    if (current !== 1 && current !== 2) return undefined;
    const at = header + (current - 1) * half;
    const length = this.#view.getUint32(at, true);
    if (length > half - 4) return undefined;
    try {
      const text = new TextDecoder().decode(this.#page.slice(at + 4, at + 4 + length));
      return attachRecord.parse(JSON.parse(text));
    } catch {
      return undefined;
    }
  }
}
