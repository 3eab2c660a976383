import { processId } from './integers.js';
import { bind } from './libc.js';
import { Mapping } from './mapping.js';
import { failedWith } from './system-error.js';
import { sleepFor } from './thread-signal.js';

const ptrace = bind('ptrace', 'int64 ptrace(int, int, uint64, uint64)');
const waitpid = bind('waitpid', 'int waitpid(int, uint64, int)');

/** <sys/ptrace.h>, <sys/wait.h>. */
const PTRACE_DETACH = 17;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const WNOHANG = 1;
const __WALL = 0x40000000;

/** How long a thread may take to stop, in milliseconds: it may be in the middle of a slow disk write. */
const patience = 1000;

/**
 * Stop one thread of another process, call `whileStopped`, and let it go on: whatever happens, also
 * if we are killed. The thread leaves a blocking system call with EINTR. A signal that was on its way
 * is delivered. Throws SystemError: EPERM for want of CAP_SYS_PTRACE or because something traces it already.
 */
export function pauseThread<T>(tid: number, whileStopped: () => T): T | undefined {
  const status = Mapping.anonymous(4096);
  let signal = 0;
  ptrace(PTRACE_SEIZE, processId(tid), 0, 0);
  try {
    ptrace(PTRACE_INTERRUPT, tid, 0, 0);
    for (const end = performance.now() + patience; ;) {
      if (waitpid(tid, status.address, WNOHANG | __WALL) === tid) break;
      if (performance.now() > end) return undefined;
      sleepFor(0.05);
    }
    const word = status.viewAt(0).getInt32(0, true);
    // Stopped by ptrace itself: an event is above bit 16. Else a signal is to be handed on.
    if (word >> 16 === 0) signal = (word >> 8) & 0xff;
    return whileStopped();
  } finally {
    status.close();
    detach(tid, signal);
  }
}

function detach(tid: number, signal: number): void {
  try {
    ptrace(PTRACE_DETACH, tid, 0, signal);
  } catch (error) {
    // It has ended, or has not stopped yet: then its tracer's end is what lets it go.
    if (!failedWith(error, 'ESRCH')) throw error;
  }
}
