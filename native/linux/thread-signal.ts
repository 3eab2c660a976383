import { integer, processId } from './integers.js';
import { bind } from './libc.js';

const tgkill = bind('tgkill', 'int tgkill(int, int, int)');

/** Send a signal to one thread of a process (tgkill(2)). */
export function signalThread(pid: number, tid: number, signal: number): void {
  tgkill(processId(pid), processId(tid), integer('signal', signal, 1, 64));
}

const waiting = new Int32Array(new SharedArrayBuffer(4));

/** Block this thread, which does nothing else meanwhile; fractions of a millisecond count. */
export function sleepFor(milliseconds: number): void {
  Atomics.wait(waiting, 0, 0, milliseconds);
}
