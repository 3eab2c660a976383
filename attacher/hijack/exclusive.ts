import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { failedWith } from '../../native/linux/system-error.js';

/** How long another one may take, in milliseconds. */
const patience = 30_000;

/**
 * Do something with a hypervisor that no other process of ours does at the same time. What is held is
 * a name among the abstract Unix sockets (unix(7)): it goes with us, however we end.
 */
export function exclusively<T>(pid: number, act: () => T | Promise<T>): Promise<T> {
  return exclusivelyBy(`debloat-hijack-${pid}`, act);
}

/** The same with what has this name: letters, digits and -, up to 80. */
export async function exclusivelyBy<T>(name: string, act: () => T | Promise<T>): Promise<T> {
  const lock = await take(`\0${name}`);
  try {
    return await act();
  } finally {
    lock.close();
  }
}

async function take(name: string): Promise<{ close: () => void }> {
  const end = performance.now() + patience;
  for (;;) {
    const server = createServer();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(name, resolve);
      });
      return server;
    } catch (error) {
      if (!failedWith(error, 'EADDRINUSE')) throw error;
    }
    if (performance.now() > end) {
      throw new DebloatError('Another debloat is busy with this virtual machine.', {
        hint: 'try again when it has ended',
      });
    }
    await sleep(10);
  }
}
