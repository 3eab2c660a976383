import type { BlockRequest } from '../../attacher/virtio/block/request.js';
import { Transfer } from '../../attacher/virtio/block/request.js';
import type { IoEngine } from '../../attacher/virtio/disk/io-engine.js';
import type { GuestMemory } from '../../attacher/virtio/memory/guest-memory.js';

/** Guest memory in plain bytes, with some around it that nobody may touch. */
export class ByteMemory implements GuestMemory {
  view: DataView;
  at = 0;
  resolved = 0;
  /** What `resolve` adds to an offset: addresses nobody can use. */
  readonly host = 0x5000_0000_0000;
  readonly bytes: Uint8Array;
  readonly #guard = 256;

  constructor(
    readonly base: number,
    readonly size: number,
    /** `resolve` hands out pieces of at most so many bytes. */
    public piece = Infinity,
  ) {
    this.bytes = new Uint8Array(size + 2 * this.#guard).fill(0x5a);
    this.view = new DataView(this.bytes.buffer);
    this.guest().fill(0);
  }

  guest(): Uint8Array {
    return this.bytes.subarray(this.#guard, this.#guard + this.size);
  }

  /** A view of the guest's bytes, 0 being the first. */
  words(): DataView {
    return new DataView(this.bytes.buffer, this.#guard, this.size);
  }

  open(address: number, length: number): boolean {
    if (address < this.base || address + length > this.base + this.size) return false;
    this.at = this.#guard + (address - this.base);
    return true;
  }

  openToWrite(address: number, length: number): boolean {
    return this.open(address, length);
  }

  contains(address: number, length: number): boolean {
    return this.open(address, length);
  }

  resolve(address: number, length: number): number {
    const offset = address - this.base;
    if (offset < 0 || offset >= this.size) return 0;
    this.resolved = Math.min(length, this.size - offset, this.piece);
    return this.host + offset;
  }

  /** Whether a host range that `resolve` may have given is inside. */
  inside(host: number, length: number): boolean {
    return host >= this.host && host + length <= this.host + this.size;
  }

  /** Whether nothing around was touched. */
  intact(): boolean {
    const untouched = (byte: number) => byte === 0x5a;
    const end = this.#guard + this.size;
    return (
      this.bytes.subarray(0, this.#guard).every(untouched) &&
      this.bytes.subarray(end).every(untouched)
    );
  }
}

/** An engine that moves nothing, but sees to it that what it is told is inside memory and disk. */
export class CheckingEngine implements IoEngine {
  readonly name = 'positioned';
  readonly fd = undefined;
  readonly slow = false;
  readonly #started: BlockRequest[] = [];
  /** What the next transfer comes to: bytes of those asked for, or −errno. */
  outcome: (asked: number) => number = (asked) => asked;

  constructor(
    private readonly memory: ByteMemory,
    private readonly diskSize: number,
  ) {}

  start(request: BlockRequest): void {
    const { transfer, position, stepLength, done, segments, hostAddresses, lengths } = request;
    const moves = transfer === Transfer.read || transfer === Transfer.write;
    if (!(stepLength > 0) || !(position >= 0)) throw new Error('step of nothing');
    if (position + stepLength > this.diskSize) throw new Error('step beyond the disk');
    let room = -done;
    for (let n = 0; n < segments; n++) {
      const length = lengths[n] ?? 0;
      if (!this.memory.inside(hostAddresses[n] ?? 0, length)) throw new Error('step beyond memory');
      room += length;
    }
    if (moves && room < stepLength) throw new Error('step longer than its buffers');
    this.#started.push(request);
  }

  submit(): void {
    // Everything is done when it is asked for.
  }

  complete(callback: (tag: number, result: number) => void): void {
    for (const request of this.#started.splice(0))
      callback(request.tag, this.outcome(request.stepLength));
  }

  close(): void {
    // Nothing is open.
  }
}
