import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { findKernel } from '../../attacher/guest/index.js';
import { link, type LinkedImage } from '../../attacher/guest/linker/link.js';
import type { Command } from '../../attacher/guest/stage-steps.js';
import { findFreeEntry } from '../../attacher/hijack/address-space.js';
import { imageAddress, layoutArena, writePageTables } from '../../attacher/hijack/arena.js';
import { Attachment } from '../../attacher/hijack/attachment.js';
import { takeArenaOut } from '../../attacher/hijack/take-out.js';
import { exclusively } from '../../attacher/hijack/exclusive.js';
import { arenaPlaces } from '../../attacher/hijack/places.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { createArena, createEvents, plugIn } from '../../attacher/hijack/resources.js';
import { sessionsIn } from '../../attacher/hijack/sessions.js';
import { HijackTarget } from '../../attacher/hijack/target.js';
import { openVirtualMachine, type VirtualMachine } from '../../attacher/hypervisor/index.js';
import { compileStage } from './guest-stage.js';

/** Offsets in struct probe (test/fixtures/hijack/guest-probe.c). */
const field = {
  ...{ operation: 0, offset: 8, length: 16, sum: 24, seed: 32, oldOpenRoot: 40 },
  ...{ path: 48, device: 304, type: 560, bytes: 816 },
};
const stringSize = 256;
const Operation = { sum: 1n, text: 2n, write: 3n, sumMounted: 4n };

/** A checksum of all bytes of a file. */
export interface Sum {
  sum: bigint;
  length: number;
}

/** FNV-1a over little-endian words of 64 bits, the last one filled up with zeroes: as the probe computes it. */
export function sumOf(bytes: Uint8Array): Sum {
  const padded = Buffer.concat([bytes, new Uint8Array((8 - (bytes.length % 8)) % 8)]);
  let sum = 0xcbf29ce484222325n;
  for (let at = 0; at < padded.length; at += 8) {
    sum = BigInt.asUintN(64, (sum ^ padded.readBigUInt64LE(at)) * 0x100000001b3n);
  }
  return { sum, length: bytes.length };
}

/** What the probe writes when it is given `seed`: `length` bytes, divisible by 8. */
export function written(seed: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, word = seed; at < length; at += 8) {
    bytes.writeBigUInt64LE(word, at);
    word = BigInt.asUintN(64, word * 6364136223846793005n + 1n);
  }
  return bytes;
}

/** Build the probe into `directory`. */
export function compileGuestProbe(directory: string): Uint8Array {
  return readFileSync(compileStage(directory, 'guest-probe', ['entry.S', 'thunks.S', 'message.c']));
}

/**
 * Test code in a guest's kernel, put there by what also attaches disks, beside whatever else is attached:
 * it reads, sums up, writes and mounts what the test says, and tells what came of it.
 */
export class GuestProbe {
  readonly #machine: VirtualMachine;
  readonly #attachment: Attachment;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  private constructor(
    machine: VirtualMachine,
    attachment: Attachment,
    request: Uint8Array,
    oldOpenRoot: boolean,
  ) {
    this.#machine = machine;
    this.#attachment = attachment;
    this.#bytes = request;
    this.#view = new DataView(request.buffer, request.byteOffset, request.length);
    this.#view.setBigUint64(field.oldOpenRoot, oldOpenRoot ? 1n : 0n, true);
  }

  /** Put the probe `object` into the guest of process `pid`. */
  static async insert(pid: number, object: Uint8Array): Promise<GuestProbe> {
    return exclusively(pid, async () => {
      const machine = openVirtualMachine(pid);
      const registers = machine.anyRegisters();
      const kernel = findKernel(machine.memory, registers, {});
      const entry = findFreeEntry(machine.memory, kernel.pageTables);
      const base = imageAddress({ guestAddress: 0, virtualAddress: entry.virtualAddress });
      const stage = link(object, base, kernel.symbols);
      const attachment = await place(machine, stage, entry);
      const { image } = attachment.layout;
      const at = image + Number(stage.entry('guest_probe') - base);
      const end = image + stage.image.length;
      const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(kernel.version) ?? []).map(Number);
      return new GuestProbe(
        machine,
        attachment,
        attachment.file.bytes.subarray(at, end),
        major * 100 + minor < 514,
      );
    });
  }

  /** The checksum of a file, or block device, of the guest's. */
  async sum(path: string): Promise<Sum> {
    await this.#run(Operation.sum, { path });
    return this.#sum();
  }

  /** The first 64 KiB of a file of the guest's. */
  async text(path: string): Promise<string> {
    await this.#run(Operation.text, { path });
    const { length } = this.#sum();
    return Buffer.from(this.#bytes.subarray(field.bytes, field.bytes + length)).toString('latin1');
  }

  /** Write `written(seed, length)` to a file at `offset`, and flush it. */
  async write(path: string, offset: number, length: number, seed: bigint): Promise<void> {
    this.#view.setBigUint64(field.offset, BigInt(offset), true);
    this.#view.setBigUint64(field.length, BigInt(length), true);
    this.#view.setBigUint64(field.seed, seed, true);
    await this.#run(Operation.write, { path });
  }

  /** Mount `device` as a file system of `type`, nowhere, and sum up a file in it. */
  async sumMounted(device: string, type: string, path: string): Promise<Sum> {
    await this.#run(Operation.sumMounted, { path, device, type });
    return this.#sum();
  }

  /** Take the probe out again. */
  async remove(): Promise<void> {
    const { pid } = this.#machine;
    await exclusively(pid, () => this.#attachment.takeOut());
    this.#attachment.target[Symbol.dispose]();
    this.#machine.close();
  }

  async #run(operation: bigint, strings: Partial<Record<'path' | 'device' | 'type', string>>) {
    this.#view.setBigUint64(field.operation, operation, true);
    for (const name of ['path', 'device', 'type'] as const) {
      const at = field[name];
      this.#bytes.fill(0, at, at + stringSize);
      this.#bytes.set(Buffer.from(strings[name] ?? ''), at);
    }
    // The command's number says nothing to the probe.
    await exclusively(this.#machine.pid, () => this.#attachment.command(1 satisfies Command));
  }

  #sum(): Sum {
    return {
      sum: this.#view.getBigUint64(field.sum, true),
      length: Number(this.#view.getBigUint64(field.length, true)),
    };
  }
}

async function place(
  machine: VirtualMachine,
  stage: LinkedImage,
  entry: { address: number; virtualAddress: bigint },
): Promise<Attachment> {
  const target = HijackTarget.of(machine);
  const layout = layoutArena(stage.image.length);
  const taken = sessionsIn(machine.pid).flatMap(({ record }) => record?.slots ?? []);
  const onStep = () => undefined;
  const request = {
    ...{ id: `probe-${randomBytes(4).toString('hex')}`, image: 'probe', layout, onStep },
    owner: { pid: process.pid, started: startTimeOf(process.pid) ?? '' },
    guestAddresses: arenaPlaces(machine.memory.regions),
    virtualAddress: entry.virtualAddress,
    takenSlots: taken.flatMap(({ ram, passive }) => [ram, passive]),
    lines: () => [],
    deviceId: 0,
  };
  const [arena, events] = await target.whileStopped((thread) => {
    const made = createArena(target, thread, request);
    const events = createEvents(target, thread, made, onStep);
    plugIn(target, thread, { ...made, events }, request);
    return [made, events] as const;
  });
  const { file, record } = arena;
  file.bytes.set(stage.image, layout.image);
  const guest = { guestAddress: record.guestAddress, virtualAddress: entry.virtualAddress };
  writePageTables(file.bytes, layout, guest, stage.segments, true);
  record.control = layout.image + Number(stage.entry('stage1_control') - stage.base);
  record.entry = stage.entry('stage1_interrupted').toString(16);
  record.entryAddress = entry.address;
  const attachment = new Attachment(target, file, record, events, { onStep, log: () => undefined });
  attachment.note('untouched');
  try {
    attachment.hangIn();
  } catch (error) {
    await takeArenaOut(target, arena, onStep);
    throw error;
  }
  return attachment;
}
