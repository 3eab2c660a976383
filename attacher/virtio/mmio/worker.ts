import { workerData } from 'node:worker_threads';
import { DebloatError, messageOf } from '../../../analyzer/errors.js';
import { closeDescriptor } from '../../../native/linux/event.js';
import { openProcess } from '../../../native/linux/process-memory.js';
import { sectorSize } from '../block/protocol.js';
import { Statistics } from '../block/statistics.js';
import type { Disk } from '../disk/disk.js';
import { FailedDisk } from '../disk/failed-disk.js';
import { openDisk } from '../disk/open-disk.js';
import { openEngine } from '../disk/open-engine.js';
import { serveInThread, type ThreadOptions } from '../serving-thread.js';
import { openGuestMemory } from './queue-memory.js';
import { DeviceWindow } from './window.js';
import { WindowLoop } from './window-loop.js';
import type { EndReason, MmioDisk, MmioFacts, MmioOptions } from './worker-protocol.js';

const options = workerData as MmioOptions & ThreadOptions;
await serveInThread<MmioFacts, EndReason>((tell) => {
  const { memory: owner, doorbells, interrupt, stop, id } = options;
  const disk = open(options.disk);
  const memory = openGuestMemory(owner.pid, owner.regions);
  const window = new DeviceWindow(options.window);
  const process = watch(owner.pid);
  const engine = openEngine(disk);
  const loop = new WindowLoop({
    ...{ disk, memory, window, id, stop, process, interrupt },
    engine: memory.engine(engine),
    ...doorbells,
    statistics: new Statistics(options.statistics),
    log: tell.log,
  });
  try {
    if (options.takeOver) checkTakenOver(window, disk);
    else window.initialize({ sectors: disk.sectors, offered: loop.offered });
    tell.ready({
      ...{ size: window.sectors * sectorSize, readOnly: disk.readOnly },
      ...{ engine: engine.name, memory: memory.kind },
    });
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
});

function open(disk: MmioDisk): Disk {
  return 'kind' in disk ? new FailedDisk() : openDisk(disk);
}

function watch(pid: number): number {
  try {
    return openProcess(pid);
  } catch (error) {
    throw new DebloatError(`cannot watch process ${pid}: ${messageOf(error)}`, { cause: error });
  }
}

/** Throws DebloatError unless the window has the device that a driver knows, and `disk` can be behind it. */
function checkTakenOver(window: DeviceWindow, disk: Disk): void {
  if (!window.initialized) throw new DebloatError('there is no disk in the guest to take over');
  if (disk instanceof FailedDisk || disk.sectors === window.sectors) return;
  throw new DebloatError(
    `the guest knows a disk of ${window.sectors} sectors, and this one has ${disk.sectors}`,
    { hint: 'go on with the same image, or detach the disk' },
  );
}
