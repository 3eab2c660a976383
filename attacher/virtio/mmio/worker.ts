import { parentPort, workerData } from 'node:worker_threads';
import { DebloatError, messageOf } from '../../../analyzer/errors.js';
import { closeDescriptor } from '../../../native/linux/event.js';
import { openProcess } from '../../../native/linux/process-memory.js';
import { sectorSize } from '../block/protocol.js';
import { Statistics } from '../block/statistics.js';
import type { Disk } from '../disk/disk.js';
import { FailedDisk } from '../disk/failed-disk.js';
import { openDisk } from '../disk/open-disk.js';
import { openEngine } from '../disk/open-engine.js';
import { openGuestMemory } from './queue-memory.js';
import { DeviceWindow } from './window.js';
import { WindowLoop } from './window-loop.js';
import type { EndReason, MmioDisk, WorkerMessage, WorkerOptions } from './worker-protocol.js';

// One disk, one thread: it waits in epoll, so it has nothing to do with the main thread's events.
const options = workerData as WorkerOptions;
const tell = (message: WorkerMessage) => parentPort?.postMessage(message);
try {
  tell({ kind: 'ended', reason: serve(open(options.disk)) });
} catch (error) {
  if (!(error instanceof DebloatError)) throw error;
  tell({ kind: 'failed', message: error.message, hint: error.hint });
}

function open(disk: MmioDisk): Disk {
  return 'kind' in disk ? new FailedDisk() : openDisk(disk);
}

function serve(disk: Disk): EndReason {
  const { memory: owner, doorbells, interrupt, stop, id } = options;
  const memory = openGuestMemory(owner.pid, owner.regions);
  const window = new DeviceWindow(options.window);
  const process = watch(owner.pid);
  const engine = openEngine(disk);
  const loop = new WindowLoop({
    disk,
    engine: memory.engine(engine),
    memory,
    window,
    id,
    ...doorbells,
    stop,
    process,
    interrupt,
    statistics: new Statistics(options.statistics),
    log: (line) => tell({ kind: 'log', line }),
  });
  try {
    begin(window, disk, loop);
    const facts = { size: window.sectors * sectorSize, readOnly: disk.readOnly };
    tell({ kind: 'ready', facts: { ...facts, engine: engine.name, memory: memory.kind } });
    for (;;) {
      const state = loop.turn(-1);
      if (state !== 'on') return state;
    }
  } finally {
    loop.close();
    memory.close();
    window.close();
    closeDescriptor(process);
  }
}

function watch(pid: number): number {
  try {
    return openProcess(pid);
  } catch (error) {
    throw new DebloatError(`cannot watch process ${pid}: ${messageOf(error)}`, { cause: error });
  }
}

/** A device of ours in the window: a new one, or the one that a driver knows already. */
function begin(window: DeviceWindow, disk: Disk, loop: WindowLoop): void {
  if (!options.takeOver) {
    window.initialize({ sectors: disk.sectors, offered: loop.offered });
    return;
  }
  if (!window.initialized) throw new DebloatError('there is no disk in the guest to take over');
  if (disk instanceof FailedDisk || disk.sectors === window.sectors) return;
  throw new DebloatError(
    `the guest knows a disk of ${window.sectors} sectors, and this one has ${disk.sectors}`,
    { hint: 'go on with the same image, or detach the disk' },
  );
}
