import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { DebloatError } from '../../../analyzer/errors.js';
import { sectorSize } from '../block/protocol.js';
import { Statistics } from '../block/statistics.js';
import type { Disk } from '../disk/disk.js';
import { openDisk } from '../disk/open-disk.js';
import { openEngine } from '../disk/open-engine.js';
import { ServeLoop } from './serve-loop.js';
import type { WorkerMessage, WorkerOptions } from './worker-protocol.js';

// One disk, one thread: it waits in epoll, so it has nothing to do with the main thread's events.
const options = workerData as WorkerOptions;
const tell = (message: WorkerMessage) => parentPort?.postMessage(message);
const disk = open();
if (disk) await serve(disk);

function open(): Disk | undefined {
  try {
    return openDisk(options.disk);
  } catch (error) {
    if (!(error instanceof DebloatError)) throw error;
    tell({ kind: 'failed', message: error.message, hint: error.hint });
    return undefined;
  }
}

async function serve(disk: Disk): Promise<void> {
  const { queues, id, listener, stop } = options;
  const engine = openEngine(disk);
  const loop = new ServeLoop({
    disk,
    engine,
    queues,
    id,
    listener,
    stop,
    statistics: new Statistics(options.statistics),
    log: (line) => tell({ kind: 'log', line }),
  });
  const facts = { size: disk.sectors * sectorSize, readOnly: disk.readOnly };
  tell({ kind: 'ready', disk: facts, engine: engine.name });
  try {
    let connected = false;
    while (loop.turn(-1)) {
      // Address space of a client's memory is given back by the garbage collector's callbacks.
      if (connected && !loop.connected) await setImmediate();
      connected = loop.connected;
    }
  } finally {
    loop.close();
  }
}
