import { closeDescriptor } from './event.js';
import { descriptor, integer } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { Mapping } from './mapping.js';
import { SystemError } from './system-error.js';
import { constants } from 'node:os';

const epollCreate = bind('epoll_create1', 'int epoll_create1(int)');
const epollCtl = bind('epoll_ctl', 'int epoll_ctl(int, int, int, uint64)');
const epollWait = bindRaw('int epoll_wait(int, uint64, int, int)');

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLET = 0x80000000;
const capacity = 64;
/** The event that a change is described by, after those that `wait` fills. */
const change = capacity * 16;

/** struct epoll_event is packed on x86-64 only (<sys/epoll.h>). */
const eventSize = process.arch === 'x64' ? 12 : 16;
const dataOffset = eventSize - 8;

/** epoll(7): waits for many descriptors at once; each is known by a token of the caller's. */
export class Epoll {
  readonly #fd = epollCreate(EPOLL_CLOEXEC);
  readonly #events = Mapping.anonymous((capacity + 1) * 16);
  readonly #view = this.#events.viewAt(0);

  /** Wait for `fd` to be readable; edge-triggered: told once per change, though nobody reads it. */
  add(fd: number, token: number, options: { edge: boolean }): void {
    this.#view.setUint32(change, (EPOLLIN | (options.edge ? EPOLLET : 0)) >>> 0, true);
    this.#view.setBigUint64(
      change + dataOffset,
      BigInt(integer('token', token, 0, 0xffffffff)),
      true,
    );
    epollCtl(this.#fd, EPOLL_CTL_ADD, descriptor(fd), this.#events.address + change);
  }

  remove(fd: number): void {
    epollCtl(this.#fd, EPOLL_CTL_DEL, descriptor(fd), this.#events.address + change);
  }

  /**
   * Block until something is ready, or for `timeout` milliseconds (−1: for ever); returns how many
   * tokens there are for `token`. An interruption by a signal counts as none.
   */
  wait(timeout: number): number {
    const ready = epollWait(this.#fd, this.#events.address, capacity, timeout);
    if (ready >= 0) return ready;
    if (ready === -constants.errno.EINTR) return 0;
    throw new SystemError('epoll_wait', -ready);
  }

  token(index: number): number {
    return this.#view.getUint32(index * eventSize + dataOffset, true);
  }

  close(): void {
    closeDescriptor(this.#fd);
    this.#events.close();
  }
}
