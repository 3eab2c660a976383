import { constants } from 'node:os';
import { DebloatError } from '../../analyzer/errors.js';
import { integer, word } from '../../native/linux/integers.js';
import type { Command } from './stage-steps.js';
import { stepOf } from './stage-steps.js';

/**
 * The control block that the host shares with stage 1: the mirror of
 * native/guest/stage1/control.h. What the guest writes is checked as it is read.
 */

export const controlSize = 4096;
/** No interrupt line: stage 1 polls `tick`. */
export const pollGsi = 0xffffffff;
const abi = 1;
const noCommand = 0;
const messageBytes = 1024;

export const controlOffset = {
  abi: 0x000,
  command: 0x004,
  sequence: 0x008,
  tick: 0x00c,
  resume_rip: 0x010,
  resume_flags: 0x018,
  queued: 0x020,
  completed: 0x024,
  result: 0x028,
  step: 0x02c,
  irq: 0x030,
  polls: 0x034,
  session: 0x038,
  attempts: 0x03c,
  window: 0x040,
  window_size: 0x048,
  gsi: 0x050,
  device_id: 0x054,
  driver_count: 0x058,
  drivers: 0x060,
  program: 0x0c0,
  program_size: 0x0c8,
  to_guest: 0x0d0,
  from_guest: 0x0d8,
  names: 0x0e0,
  name_count: 0x0e8,
  asked: 0x0ec,
  socket_name: 0x0f0,
  code: 0x110,
  code_size: 0x118,
  code_byte: 0x120,
  message_head: 0x400,
  beats: 0x404,
  message_tail: 0x408,
  messages: 0x410,
} as const;

const driversBytes = controlOffset.program - controlOffset.drivers;

export interface DiskRequest {
  /** Guest-physical address of the register window, and its bytes. */
  readonly window: bigint;
  readonly windowSize: number;
  /** The interrupt line, or `pollGsi`. */
  readonly gsi: number;
  /** N of virtio-mmio.N, free in the guest. */
  readonly deviceId: number;
  /** Modules that the guest's modprobe is asked for first; this waits for guest user space. */
  readonly drivers?: readonly string[];
}

export interface SessionRequest {
  /** Guest-virtual address and bytes of stage 2's ELF file. */
  readonly program: bigint;
  readonly programSize: number;
  /** Guest-virtual addresses of the rings (byte-ring.ts), after their reset. */
  readonly toGuest: bigint;
  readonly fromGuest: bigint;
  /**
   * Guest-virtual address of paths, each with its NUL, and their number: tried for the program's
   * file where the guest has no /proc. 0 and 0 for none.
   */
  readonly paths: bigint;
  readonly pathCount: number;
  /** Random, of 16 to 31 letters and digits. */
  readonly socketName: string;
}

/** The stage's own code, and what was in its place. */
export interface CodeRequest {
  /** Guest-virtual address where it can be written. */
  readonly address: bigint;
  readonly size: number;
  readonly byte: number;
}

export type SessionState = 'none' | 'running' | 'over';

export interface Outcome {
  /** 0 or a negative errno. */
  readonly result: number;
  /** Number of the step where it ended (stage-steps.ts). */
  readonly step: number;
}

/** "EBUSY" for -16; the number where it has no name. */
function errnoName(result: number): string {
  const found = Object.entries(constants.errno).find(([, number]) => number === -result);
  return found?.[0] ?? `error ${-result}`;
}

/** The sentence for a command that failed in the guest. */
export function stageError(outcome: Outcome, messages: readonly string[]): DebloatError {
  const step = stepOf(outcome.step);
  const what = step ? `${step.doing} (${step.kernelFunction})` : 'do what it was asked';
  return new DebloatError(
    `The guest's kernel could not ${what}: ${errnoName(outcome.result)}.`,
    messages.length > 0 ? { hint: `It said: ${messages.join('; ')}.` } : {},
  );
}

/** The host's hand on one control block. */
export class StageControl {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  #messageTail = 0;
  #unfinished = '';

  /** `page`: the block's 4,096 bytes as linked into the image, at an address divisible by 4. */
  constructor(page: Uint8Array) {
    if (page.length !== controlSize) throw new RangeError('a control block has 4096 bytes');
    this.#bytes = page;
    this.#view = new DataView(page.buffer, page.byteOffset, page.length);
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.length / 4);
    if (this.#load(controlOffset.abi) !== abi) {
      throw new DebloatError('The guest stage is of another version than this program.', {
        hint: 'Build both again: npm run build',
      });
    }
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, offset / 4) >>> 0;
  }

  #store(offset: number, value: number): void {
    Atomics.store(this.#words, offset / 4, word('control word', value) | 0);
  }

  /** Where the interrupted vCPU goes on, and with which flags. */
  setResume(rip: bigint, flags: bigint): void {
    this.#view.setBigUint64(controlOffset.resume_rip, rip, true);
    this.#view.setBigUint64(controlOffset.resume_flags, flags, true);
  }

  /** What the next `addDisk` shall add. */
  setDisk(disk: DiskRequest): void {
    const view = this.#view;
    view.setBigUint64(controlOffset.window, disk.window, true);
    view.setBigUint64(
      controlOffset.window_size,
      BigInt(integer('window size', disk.windowSize, 0x100, 2 ** 20)),
      true,
    );
    view.setUint32(controlOffset.gsi, word('interrupt line', disk.gsi), true);
    const id = integer('device id', disk.deviceId, 0, 0x7fffffff);
    view.setInt32(controlOffset.device_id, id, true);
    this.setDrivers(disk.drivers ?? []);
  }

  /** Modules for `loadDrivers` and `addDisk`. */
  setDrivers(names: readonly string[]): void {
    const wrong = names.find((name) => !/^[A-Za-z0-9_-]+$/.test(name));
    if (wrong !== undefined) throw new RangeError(`"${wrong}" is no name of a module`);
    const block = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
    if (block.length > driversBytes) throw new RangeError('too many drivers at once');
    this.#bytes.fill(0, controlOffset.drivers, controlOffset.drivers + driversBytes);
    this.#bytes.set(block, controlOffset.drivers);
    this.#view.setUint32(controlOffset.driver_count, names.length, true);
  }

  /** What the next `startSession` shall run. */
  setSession(session: SessionRequest): void {
    if (!/^[A-Za-z0-9]{16,31}$/.test(session.socketName)) {
      throw new RangeError('a socket name has 16 to 31 letters and digits');
    }
    const view = this.#view;
    const size = integer('size of the program', session.programSize, 64, 2 ** 24);
    view.setBigUint64(controlOffset.program, session.program, true);
    view.setBigUint64(controlOffset.program_size, BigInt(size), true);
    view.setBigUint64(controlOffset.to_guest, session.toGuest, true);
    view.setBigUint64(controlOffset.from_guest, session.fromGuest, true);
    view.setBigUint64(controlOffset.names, session.paths, true);
    const count = integer('number of paths', session.pathCount, 0, 64);
    view.setUint32(controlOffset.name_count, count, true);
    const name = new Uint8Array(32);
    name.set(Buffer.from(session.socketName, 'latin1'));
    this.#bytes.set(name, controlOffset.socket_name);
  }

  /** What `leave` writes over, and with what. */
  setCode({ address, size, byte }: CodeRequest): void {
    this.#view.setBigUint64(controlOffset.code, address, true);
    this.#view.setBigUint64(controlOffset.code_size, BigInt(size), true);
    this.#view.setUint32(controlOffset.code_byte, integer('byte', byte, 0, 255), true);
  }

  /** Whether a session runs; `over`: its program has gone, and endSession takes the rest down. */
  get session(): SessionState {
    const state = this.#load(controlOffset.session);
    return state === 1 ? 'running' : state === 0 ? 'none' : 'over';
  }

  /** Counts on for as long as a session is there, and the guest runs. */
  get beats(): number {
    return this.#load(controlOffset.beats);
  }

  /**
   * Writes the next command; its work must be queued after this, or, if `asked`, the threads of the
   * session that runs queue it. Its sequence number.
   */
  begin(command: Command, by?: 'asked'): number {
    if (!this.idle) throw new Error('a command is still running in the guest');
    const sequence = Math.max(1, (this.#load(controlOffset.sequence) + 1) >>> 0);
    if (by === 'asked') this.#store(controlOffset.asked, sequence);
    this.#store(controlOffset.command, command);
    this.#store(controlOffset.sequence, sequence);
    return sequence;
  }

  /** Whether the guest has finished all that was begun. */
  get idle(): boolean {
    return this.#load(controlOffset.completed) === this.#load(controlOffset.sequence);
  }

  /** Whether the work of `sequence` was queued: the interrupted vCPU is on its way back. */
  queued(sequence: number): boolean {
    return this.#load(controlOffset.queued) === sequence;
  }

  /** Take back a command that no processor was sent to carry out; `last` tells of none then. */
  abandon(): void {
    this.#store(controlOffset.command, noCommand);
    this.#store(controlOffset.sequence, this.#load(controlOffset.completed));
  }

  /** The last command that was begun, and how it ended; undefined if there was none, it was abandoned, or it has not ended. */
  get last(): { command: number; outcome: Outcome } | undefined {
    const sequence = this.#load(controlOffset.sequence);
    const command = this.#load(controlOffset.command);
    if (sequence === 0 || command === noCommand) return undefined;
    const outcome = this.outcome(sequence);
    return outcome && { command, outcome };
  }

  /** The number of the last command that was begun. */
  get sequence(): number {
    return this.#load(controlOffset.sequence);
  }

  /** The step that the guest is in now. */
  get step(): number {
    return this.#load(controlOffset.step);
  }

  /** How `sequence` ended, or undefined while it runs. */
  outcome(sequence: number): Outcome | undefined {
    if (this.#load(controlOffset.completed) !== sequence) return undefined;
    const result = this.#load(controlOffset.result) | 0;
    // Anything but 0 and an errno is nonsense of the guest's: EPROTO.
    const sane = result <= 0 && result >= -4095;
    return { result: sane ? result : -71, step: this.step };
  }

  /** Has the poller raise the interrupt once more. */
  tick(): void {
    Atomics.add(this.#words, controlOffset.tick / 4, 1);
  }

  /** The whole lines that the guest wrote since the last call, printable. */
  messages(): string[] {
    const waiting = (this.#load(controlOffset.message_head) - this.#messageTail) >>> 0;
    const count = Math.min(waiting, messageBytes);
    for (let index = 0; index < count; index++) {
      const at = (this.#messageTail + index) % messageBytes;
      const byte = this.#bytes[controlOffset.messages + at] ?? 0;
      const printable = byte === 10 || (byte >= 32 && byte < 127);
      this.#unfinished += printable ? String.fromCharCode(byte) : '?';
    }
    this.#messageTail = (this.#messageTail + waiting) >>> 0;
    this.#store(controlOffset.message_tail, this.#messageTail);
    const lines = this.#unfinished.split('\n');
    this.#unfinished = (lines.pop() ?? '').slice(0, messageBytes);
    return lines;
  }
}
