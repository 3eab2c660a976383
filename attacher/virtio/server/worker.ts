import { setImmediate } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { sectorSize } from '../block/protocol.js';
import { Statistics } from '../block/statistics.js';
import { openDisk } from '../disk/open-disk.js';
import { openEngine } from '../disk/open-engine.js';
import { serveInThread, type Telling, type ThreadOptions } from '../serving-thread.js';
import { ServeLoop } from './serve-loop.js';
import type { ServedFacts, WorkerOptions } from './worker-protocol.js';

const options = workerData as WorkerOptions & ThreadOptions;
await serveInThread(async (tell: Telling<ServedFacts>): Promise<'stopped'> => {
  const { queues, id, listener, stop } = options;
  const disk = openDisk(options.disk);
  const engine = openEngine(disk);
  const loop = new ServeLoop({
    ...{ disk, engine, queues, id, listener, stop },
    statistics: new Statistics(options.statistics),
    log: tell.log,
  });
  tell.ready({
    size: disk.sectors * sectorSize,
    readOnly: disk.readOnly,
    engine: engine.name,
  });
  try {
    let connected = false;
    while (loop.turn(-1)) {
      // Address space of a client's memory is given back by the garbage collector's callbacks.
      if (connected && !loop.connected) await setImmediate();
      connected = loop.connected;
    }
    return 'stopped';
  } finally {
    loop.close();
  }
});
