import { spawn } from 'node:child_process';
import { readMemoryMap } from '../../../native/linux/memory-map.js';
import { RemoteMemory } from '../../../native/linux/remote-memory.js';
import { TracedThread } from '../../../native/linux/traced-thread.js';
import { findGadgets } from './gadgets.js';
import { StoppedThread } from './stopped-thread.js';

/** __NR_getpid of x86-64. */
const NR_getpid = 39;
const rounds = 60;

/**
 * Make calls in a process of our own that nobody misses, so that the engine has compiled this code
 * before a hypervisor stands still for it: the first calls take ten times as long as later ones.
 */
export async function rehearse(): Promise<void> {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const pid = child.pid ?? 0;
    const memory = new RemoteMemory(pid);
    try {
      const gadgets = findGadgets(readMemoryMap(pid), (at, length) => memory.read(at, length));
      if (gadgets === undefined) return;
      const injection = { pid, memory, gadgets, filtered: false };
      for (let stop = 0; stop < 3; stop++) {
        const traced = TracedThread.stop(pid, pid, { suspendSeccomp: false });
        const thread = StoppedThread.of(traced, injection, traced.registers());
        for (let round = 0; round < rounds / 3; round++) {
          thread.ask('getpid', NR_getpid, ['pointer'], new Uint8Array(64));
        }
        thread.resume();
      }
    } finally {
      memory.close();
    }
  } catch {
    // A rehearsal that fails costs some milliseconds later, no more.
  } finally {
    child.kill('SIGKILL');
  }
}
