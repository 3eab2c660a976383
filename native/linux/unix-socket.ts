import { constants } from 'node:os';
import { closeDescriptor } from './event.js';
import { descriptor, integer } from './integers.js';
import { bind, bindRaw } from './libc.js';
import { Mapping } from './mapping.js';
import { SystemError } from './system-error.js';

const socket = bind('socket', 'int socket(int, int, int)');
const bindSocket = bind('bind', 'int bind(int, uint64, uint)');
const connectSocket = bind('connect', 'int connect(int, uint64, uint)');
const listenSocket = bind('listen', 'int listen(int, int)');
const rawAccept = bindRaw('int accept4(int, uint64, uint64, int)');
const rawReceive = bindRaw('int64 recvmsg(int, uint64, int)');
const rawSend = bindRaw('int64 sendmsg(int, uint64, int)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0x80000;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Most descriptors that one message may carry here; the kernel's own limit is 253 (SCM_MAX_FD). */
const maxDescriptors = 64;
const maxBytes = 4096;
const longestPath = 107;

/** Where the parts of a call lie in its scratch memory: struct msghdr, one iovec, control, data. */
const at = { header: 0, iovec: 64, control: 128, data: 1024 };
const controlLength = 16 + maxDescriptors * 4;

const scratch = Mapping.anonymous(at.data + maxBytes);
const view = scratch.viewAt(0);

/** What a stream socket gave: bytes, and the descriptors that came with them, ours to close. */
export interface Received {
  bytes: Uint8Array;
  descriptors: number[];
  /** More descriptors came than there was room for; the kernel dropped the rest. */
  truncated: boolean;
}

/** A listening stream socket at `path`, which must not exist. */
export function listenAt(path: string): number {
  return withSocket((fd) => {
    bindSocket(fd, scratch.address, writeAddress(path));
    listenSocket(fd, 8);
  });
}

/** A stream socket connected to the listener at `path`. */
export function connectTo(path: string): number {
  return withSocket((fd) => connectSocket(fd, scratch.address, writeAddress(path)));
}

/** The next connection waiting at a listener, or undefined if there is none. */
export function acceptFrom(fd: number): number | undefined {
  const accepted = rawAccept(descriptor(fd), 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted >= 0) return accepted;
  const { EAGAIN, ECONNABORTED, EINTR } = constants.errno;
  if ([-EAGAIN, -ECONNABORTED, -EINTR].includes(accepted)) return undefined;
  throw new SystemError('accept4', -accepted);
}

/**
 * Up to `length` bytes and the descriptors with them (recvmsg(2), SCM_RIGHTS); undefined if there
 * is nothing now. No bytes at the end of the stream.
 */
export function receive(fd: number, length: number): Received | undefined {
  writeHeader(integer('length', length, 1, maxBytes), controlLength);
  const got = rawReceive(descriptor(fd), scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    const { EAGAIN, EINTR } = constants.errno;
    if (got === -EAGAIN || got === -EINTR) return undefined;
    throw new SystemError('recvmsg', -got);
  }
  return {
    bytes: scratch.bytes(at.data, maxBytes).slice(0, got),
    descriptors: readDescriptors(),
    truncated: (view.getInt32(at.header + 48, true) & MSG_CTRUNC) !== 0,
  };
}

/** Send all of `bytes`, with `descriptors`. Never waits: a peer that does not read is EAGAIN. */
export function send(fd: number, bytes: Uint8Array, descriptors: readonly number[] = []): void {
  integer('length', bytes.length, 1, maxBytes);
  integer('descriptors', descriptors.length, 0, maxDescriptors);
  scratch.bytes(at.data, maxBytes).set(bytes);
  writeHeader(bytes.length, descriptors.length > 0 ? 16 + descriptors.length * 4 : 0);
  if (descriptors.length > 0) {
    view.setBigUint64(at.control, BigInt(16 + descriptors.length * 4), true);
    view.setInt32(at.control + 8, SOL_SOCKET, true);
    view.setInt32(at.control + 12, SCM_RIGHTS, true);
    descriptors.forEach((each, n) =>
      view.setInt32(at.control + 16 + n * 4, descriptor(each), true),
    );
  }
  const sent = rawSend(descriptor(fd), scratch.address, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) throw new SystemError('sendmsg', -sent);
  if (sent < bytes.length) throw new SystemError('sendmsg', constants.errno.EAGAIN);
}

function withSocket(use: (fd: number) => void): number {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  try {
    use(fd);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** struct sockaddr_un; returns its length. */
function writeAddress(path: string): number {
  const name = new TextEncoder().encode(path);
  if (name.length > longestPath) {
    throw new RangeError(`a socket’s path may have ${longestPath} bytes, not ${name.length}`);
  }
  scratch.bytes(0, 128).fill(0);
  view.setUint16(0, AF_UNIX, true);
  scratch.bytes(2, longestPath).set(name);
  return 2 + name.length + 1;
}

/** struct msghdr with one iovec of `length` bytes. */
function writeHeader(length: number, control: number): void {
  scratch.bytes(0, at.data).fill(0);
  const pointer = (offset: number, target: number) =>
    view.setBigUint64(offset, BigInt(scratch.address + target), true);
  pointer(at.header + 16, at.iovec);
  view.setBigUint64(at.header + 24, 1n, true);
  if (control > 0) pointer(at.header + 32, at.control);
  view.setBigUint64(at.header + 40, BigInt(control), true);
  pointer(at.iovec, at.data);
  view.setBigUint64(at.iovec + 8, BigInt(length), true);
}

/** The descriptors in the control data that recvmsg left (cmsg(3)). */
function readDescriptors(): number[] {
  const end = at.control + Number(view.getBigUint64(at.header + 40, true));
  const found: number[] = [];
  for (let cursor = at.control; cursor + 16 <= end;) {
    const length = Number(view.getBigUint64(cursor, true));
    if (length < 16) break;
    const rights =
      view.getInt32(cursor + 8, true) === SOL_SOCKET &&
      view.getInt32(cursor + 12, true) === SCM_RIGHTS;
    for (let item = cursor + 16; rights && item + 4 <= Math.min(cursor + length, end); item += 4) {
      found.push(view.getInt32(item, true));
    }
    cursor += Math.ceil(length / 8) * 8;
  }
  return found;
}
