import { constants } from 'node:os';
import { Mapping } from '../../../native/linux/mapping.js';
import { Transfer } from '../block/request.js';
import type { CopyList } from '../memory/copy-list.js';
import type { ProcessMemory } from '../memory/process-memory.js';
import { mostRequests, type IoEngine, type Step } from './io-engine.js';

/** The most that one step moves; more takes several. */
const slotLength = 1 << 18;

/** A step as another engine carries it out, between the disk and a buffer of ours. */
class BouncedStep implements Step {
  transfer: Transfer = Transfer.read;
  fd = -1;
  position = 0;
  stepLength = 0;
  durable = false;
  readonly done = 0;
  segments = 0;
  readonly hostAddresses: Float64Array;
  readonly lengths = new Float64Array(1);
  /** What it is for: its buffers are in the other process. */
  original: Step | undefined;
  /** The count of flushes when the buffer was to be copied out. */
  copiedAt = -1;

  constructor(
    readonly tag: number,
    readonly buffer: number,
  ) {
    this.hostAddresses = Float64Array.of(buffer);
  }
}

/**
 * Carries out transfers between the disk and memory of another process: through buffers of ours,
 * which are copied all in one call: in before the writes begin, out when the memory is flushed.
 */
export class BouncingEngine implements IoEngine {
  readonly #buffers = Mapping.anonymous(mostRequests * slotLength);
  readonly #steps = Array.from(
    { length: mostRequests },
    (_, tag) => new BouncedStep(tag, this.#buffers.address + tag * slotLength),
  );
  readonly #started: BouncedStep[] = [];
  /** Steps whose bytes could not be had from the other process. */
  readonly #failed: number[] = [];

  constructor(
    private readonly engine: IoEngine,
    private readonly memory: ProcessMemory,
  ) {}

  get name(): IoEngine['name'] {
    return this.engine.name;
  }

  get fd(): number | undefined {
    return this.engine.fd;
  }

  get slow(): boolean {
    return this.engine.slow;
  }

  start(original: Step): void {
    const step = this.#steps[original.tag];
    if (step === undefined) throw new RangeError(`no request ${original.tag}`);
    // Its buffer must not change before the guest has what it was filled with.
    if (step.copiedAt === this.memory.flushes) this.memory.push();
    const { transfer } = original;
    const moves = transfer === Transfer.read || transfer === Transfer.write;
    step.original = original;
    step.transfer = transfer;
    step.fd = original.fd;
    step.position = original.position;
    step.durable = original.durable;
    step.stepLength = moves ? Math.min(original.stepLength, slotLength) : original.stepLength;
    step.segments = moves ? 1 : 0;
    step.lengths[0] = step.stepLength;
    this.#started.push(step);
  }

  submit(wait: boolean): void {
    if (this.#started.length > 0) this.#begin();
    this.engine.submit(wait && this.#failed.length === 0);
  }

  complete(callback: (tag: number, result: number) => void): void {
    for (const tag of this.#failed.splice(0)) callback(tag, -constants.errno.EFAULT);
    this.engine.complete((tag, result) => {
      const step = this.#steps[tag];
      if (step?.transfer === Transfer.read && result > 0) {
        copyPieces(this.memory.writes, step, result);
        step.copiedAt = this.memory.flushes;
      }
      callback(tag, result);
    });
  }

  /** Only when nothing is under way. */
  close(): void {
    this.engine.close();
    this.#buffers.close();
  }

  #begin(): void {
    const { reads } = this.memory;
    for (const step of this.#started) gather(reads, step);
    const all = reads.run();
    for (const step of this.#started) {
      // One of them was in the way of all: each by itself then.
      if (!all) gather(reads, step);
      if (all || reads.run()) this.engine.start(step);
      else this.#failed.push(step.tag);
    }
    this.#started.length = 0;
  }
}

/** The copies that a step needs before it begins. */
function gather(list: CopyList, step: BouncedStep): void {
  if (step.transfer === Transfer.write) copyPieces(list, step, step.stepLength);
}

/** Copies between a step's buffer and `length` bytes of the request from its `done` on. */
function copyPieces(list: CopyList, step: BouncedStep, length: number): void {
  const { original, buffer } = step;
  if (original === undefined) return;
  let skip = original.done;
  let copied = 0;
  for (let n = 0; n < original.segments && copied < length; n++) {
    const whole = original.lengths[n] ?? 0;
    if (skip >= whole) {
      skip -= whole;
      continue;
    }
    const piece = Math.min(whole - skip, length - copied);
    list.add(buffer + copied, (original.hostAddresses[n] ?? 0) + skip, piece);
    copied += piece;
    skip = 0;
  }
}
