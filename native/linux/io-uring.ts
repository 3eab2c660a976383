import { constants } from 'node:os';
import { closeDescriptor } from './event.js';
import { address as checkAddress, count, descriptor, integer, word } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { Mapping } from './mapping.js';
import { failedWith, SystemError } from './system-error.js';

const setup = bind('io_uring_setup', 'int64 syscall(int64, uint, uint64)');
const enter = bindRaw('int64 syscall(int64, uint, uint, uint, uint, uint64, uint64)');
const numbers = { setup: 425, enter: 426 };

/** Operations (<linux/io_uring.h>, enum io_uring_op). */
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;
export const IORING_OP_FSYNC = 3;
export const IORING_OP_FALLOCATE = 17;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;

/** `opFlags` of IORING_OP_FSYNC: as fdatasync(2). */
export const IORING_FSYNC_DATASYNC = 1;

const IORING_SETUP_CLAMP = 1 << 4;
const IORING_SETUP_COOP_TASKRUN = 1 << 8;
const IORING_FEAT_SINGLE_MMAP = 1;
const IORING_ENTER_GETEVENTS = 1;
const IORING_OFF_SQ_RING = 0;
const IORING_OFF_SQES = 0x10000000;

/** Byte offsets in struct io_uring_params, of which 120 bytes are used. */
const params = {
  submissions: 0,
  completions: 4,
  flags: 8,
  features: 20,
  submissionRing: { head: 40, tail: 44, mask: 48, array: 64 },
  completionRing: { head: 80, tail: 84, mask: 88, entries: 100 },
};
const sqeSize = 64;
const cqeSize = 16;

/**
 * What the kernel may be asked for, best first: Linux 5.19, 5.6. Not IORING_SETUP_DEFER_TASKRUN:
 * with it epoll is not woken by what completes later (seen on 6.18).
 */
const modes = [IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN, IORING_SETUP_CLAMP];

/** One operation; the meaning of the fields is the operation's (io_uring_enter(2)). */
export interface Operation {
  opcode: number;
  fd: number;
  address: number;
  length: number;
  offset: number;
  opFlags: number;
}

/**
 * io_uring(7): operations are queued, then submitted by one system call, and their results read
 * from memory. For one thread: the one that made it.
 */
export class IoUring {
  /** Readable (by epoll) when there are completions. */
  readonly fd: number;
  readonly entries: number;
  /** Of the completion that `next` found: its operation's tag, and its result or −errno. */
  tag = 0;
  result = 0;

  readonly #ring: Mapping;
  readonly #sqeMapping: Mapping;
  readonly #sqes: DataView;
  readonly #cqes: DataView;
  readonly #indices: Uint32Array;
  readonly #at: { sqTail: number; cqHead: number; cqTail: number; cqes: number };
  readonly #sqMask: number;
  readonly #cqMask: number;
  #sqTail = 0;
  #pending = 0;
  #cqHead = 0;

  private constructor(fd: number, created: DataView) {
    const u32 = (offset: number) => created.getUint32(offset, true);
    this.fd = fd;
    this.entries = u32(params.submissions);
    const { submissionRing, completionRing } = params;
    const arrayEnd = u32(submissionRing.array) + this.entries * 4;
    const cqesEnd = u32(completionRing.entries) + u32(params.completions) * cqeSize;
    const length = Math.max(arrayEnd, cqesEnd);
    this.#ring = Mapping.ofFile(fd, { offset: IORING_OFF_SQ_RING, length, writable: true });
    this.#sqeMapping = Mapping.ofFile(fd, {
      offset: IORING_OFF_SQES,
      length: this.entries * sqeSize,
      writable: true,
    });
    this.#sqes = this.#sqeMapping.viewAt(0);
    this.#cqes = this.#ring.viewAt(0);
    this.#indices = new Uint32Array(this.#cqes.buffer, 0, length >>> 2);
    this.#sqMask = this.#cqes.getUint32(u32(submissionRing.mask), true);
    this.#cqMask = this.#cqes.getUint32(u32(completionRing.mask), true);
    this.#at = {
      sqTail: u32(submissionRing.tail) >>> 2,
      cqHead: u32(completionRing.head) >>> 2,
      cqTail: u32(completionRing.tail) >>> 2,
      cqes: u32(completionRing.entries),
    };
    const array = u32(submissionRing.array) >>> 2;
    for (let n = 0; n < this.entries; n++) this.#indices[array + n] = n;
  }

  /** A ring for `entries` operations, or undefined where the kernel has none for us. */
  static open(entries: number): IoUring | undefined {
    integer('entries', entries, 1, 4096);
    using memory = Mapping.anonymous(4096);
    const view = memory.viewAt(0);
    for (const flags of modes) {
      memory.bytes(0, 120).fill(0);
      view.setUint32(params.flags, flags, true);
      try {
        const fd = setup(numbers.setup, entries, memory.address);
        if ((view.getUint32(params.features, true) & IORING_FEAT_SINGLE_MMAP) !== 0) {
          return new IoUring(fd, view);
        }
        closeDescriptor(fd);
        return undefined;
      } catch (error) {
        if (failedWith(error, 'ENOSYS', 'EPERM', 'EACCES', 'ENOMEM')) return undefined;
        if (!failedWith(error, 'EINVAL')) throw error;
      }
    }
    return undefined;
  }

  /** Queue an operation, known by `tag` when it completes. False if the queue is full: submit first. */
  push(operation: Operation, tag: number): boolean {
    if (this.#pending === this.entries) return false;
    const at = (this.#sqTail & this.#sqMask) * sqeSize;
    const sqe = this.#sqes;
    const { opcode, fd, address, length, offset, opFlags } = operation;
    sqe.setUint32(at, opcode, true);
    sqe.setInt32(at + 4, descriptor(fd), true);
    setUint64(sqe, at + 8, count('offset', offset));
    setUint64(sqe, at + 16, address === 0 ? 0 : checkAddress(address));
    sqe.setUint32(at + 24, word('length', length), true);
    sqe.setUint32(at + 28, opFlags, true);
    setUint64(sqe, at + 32, word('tag', tag));
    setUint64(sqe, at + 40, 0);
    setUint64(sqe, at + 48, 0);
    setUint64(sqe, at + 56, 0);
    this.#sqTail = (this.#sqTail + 1) >>> 0;
    this.#pending++;
    return true;
  }

  /** Queue fallocate(2), whose length is where others have an address. */
  pushFallocate(fd: number, mode: number, offset: number, length: number, tag: number): boolean {
    const at = (this.#sqTail & this.#sqMask) * sqeSize;
    const operation = {
      opcode: IORING_OP_FALLOCATE,
      fd,
      address: 0,
      length: mode,
      offset,
      opFlags: 0,
    };
    if (!this.push(operation, tag)) return false;
    setUint64(this.#sqes, at + 16, count('length', length));
    return true;
  }

  /**
   * Submit what is queued, in one call that also lets finished operations complete; `waitFor` of them
   * are waited for. Whether as many completed meanwhile as there were to submit.
   */
  submit(waitFor = 0): boolean {
    const queued = this.#pending;
    const before = this.#completions();
    this.#enter(waitFor);
    return (this.#completions() - before) >>> 0 >= queued;
  }

  #enter(waitFor: number): void {
    Atomics.store(this.#indices, this.#at.sqTail, this.#sqTail);
    for (;;) {
      const done = enter(
        numbers.enter,
        this.fd,
        this.#pending,
        waitFor,
        IORING_ENTER_GETEVENTS,
        0,
        0,
      );
      if (done >= 0) {
        this.#pending -= done;
        if (this.#pending === 0) return;
      } else {
        const { EINTR, EAGAIN, EBUSY } = constants.errno;
        if (done === -EAGAIN || done === -EBUSY) return;
        if (done !== -EINTR) throw new SystemError('io_uring_enter', -done);
      }
    }
  }

  /** How many operations wait to be submitted. */
  get pending(): number {
    return this.#pending;
  }

  /** Take the next completion into `tag` and `result`; false if there is none. */
  next(): boolean {
    if (this.#completions() === this.#cqHead) return false;
    const at = this.#at.cqes + (this.#cqHead & this.#cqMask) * cqeSize;
    this.tag = this.#cqes.getUint32(at, true);
    this.result = this.#cqes.getInt32(at + 8, true);
    this.#cqHead = (this.#cqHead + 1) >>> 0;
    Atomics.store(this.#indices, this.#at.cqHead, this.#cqHead);
    return true;
  }

  /** How many there have been, modulo 2³². */
  #completions(): number {
    return Atomics.load(this.#indices, this.#at.cqTail);
  }

  /** Only when nothing is under way: operations still running go on writing where they were told to. */
  close(): void {
    closeDescriptor(this.fd);
    this.#ring.close();
    this.#sqeMapping.close();
  }
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
