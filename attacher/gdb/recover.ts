import { setTimeout as sleep } from 'node:timers/promises';
import { isOutdated, kernelTables, type PagingRegisters, type PageTables } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import { removeSocketPlace } from '../hot-plug/lent-socket.js';
import { serveAgain } from '../hot-plug/served-image.js';
import { pauseAfter } from '../pause.js';
import { unplugDisk } from '../qmp/hot-plug.js';
import { isHung, isInPadding, isMapped, takeBack } from './block.js';
import { throughDoor } from './door.js';
import { diskSerial, gdbSessions, removeRecord, type GdbRecord } from './journal.js';
import { settle } from './settle.js';
import { GuestGone } from './send.js';
import { GdbStage, type PlacedRecord } from './stage.js';
import { pagingRegisters } from './register-layout.js';

/** For a processor that was sent to have queued the command, in milliseconds. */
const arrival = 2000;
/** How often a guest is looked at, at most. */
const looks = 10;

/**
 * Take out of a guest what a session left there whose process was killed. The command of that session
 * is hung up. Throws DebloatError where the guest does not let go, and the record stays.
 */
export async function recoverGdbSession(record: GdbRecord): Promise<void> {
  const { disk, image, machine } = record;
  // First of all: a hypervisor that waits for its disk's server answers nobody.
  const served =
    disk?.socket &&
    (await serveAgain({
      ...{ pid: machine.pid, place: disk.socket, image, serial: diskSerial(disk.device) },
      log: () => undefined,
    }));
  try {
    await takeOutOfGuest(record);
    if (disk) await unplugDisk(disk.monitor, disk.device);
  } finally {
    await served?.stop();
  }
  if (disk?.socket) removeSocketPlace(disk.socket);
  removeRecord(record.id);
}

/** Take the stage of a session that nobody drives any more out of its guest, wherever in its way it is. */
export async function takeOutOfGuest(record: GdbRecord): Promise<void> {
  const { block } = record;
  if (block === undefined) {
    // It never came so far: perhaps there never was a door there.
    await visit(record).catch(() => undefined);
    return;
  }
  const { memory, tables } = await look(record);
  try {
    const placed = { ...record, block };
    if (tables && isMapped(tables, block)) await removeStage(memory, placed);
    // In memory, but not the kernel's: the guest was started anew, and nothing there is ours.
    else if (isHung(memory, block)) return;
    else if (tables && !isOthers(placed) && isInPadding(tables, block)) takeBack(memory, block);
  } finally {
    memory.close();
  }
}

interface Seen {
  memory: ProcessMemory;
  /** The kernel's own; undefined where none runs. */
  tables: PageTables | undefined;
}

/** Go to the guest by its stub and leave again: it runs on, where it was left standing. */
async function visit(record: GdbRecord): Promise<PagingRegisters> {
  const { machine, door } = record;
  const { result } = await throughDoor(machine.pid, door, async (stub) => {
    await settle(stub, record);
    return pagingRegisters(await stub.registers());
  });
  return result;
}

/** Look at the guest, once more where the process whose page tables a processor used has ended since. */
async function look(record: GdbRecord): Promise<Seen> {
  for (let n = 1; ; n++) {
    const paging = await visit(record);
    try {
      const memory = memoryOfProcess(record.machine.pid, paging);
      const tables = kernelTables(memory, paging)?.tables;
      if (tables || n === looks) return { memory, tables };
      memory.close();
    } catch (error) {
      if (!isOutdated(error) || n === looks) throw error;
    }
  }
}

async function removeStage(memory: ProcessMemory, record: PlacedRecord): Promise<void> {
  const stage = new GdbStage(memory, record);
  const { control } = stage;
  const begun = performance.now();
  const isUnderWay = () => !control.idle && !control.queued(control.sequence);
  for (let waited = 0; isUnderWay() && waited < arrival; waited = performance.now() - begun) {
    await sleep(pauseAfter(waited, 20));
    stage.refresh();
  }
  if (isUnderWay()) {
    // No processor was sent.
    control.abandon();
    stage.publish();
  }
  try {
    if (!control.idle) await ended(stage);
    if (stage.hasBegun) await stage.leave();
    else takeBack(memory, record.block);
  } catch (error) {
    if (!(error instanceof GuestGone)) throw error;
  }
}

/** Wait for the command that is under way, however it ends. */
async function ended(stage: GdbStage): Promise<void> {
  try {
    await stage.outcome(stage.control.sequence);
  } catch (error) {
    if (!stage.control.idle) throw error;
  }
}

/** Whether another session has taken the place: this one was not yet there. */
function isOthers({ id, machine, block }: PlacedRecord): boolean {
  const end = block.physical + block.size;
  return gdbSessions(machine.pid).some(
    ({ record }) =>
      record.id !== id &&
      record.block !== undefined &&
      record.block.physical < end &&
      block.physical < record.block.physical + record.block.size,
  );
}

/** Clean up after sessions in the machine of process `pid` whose owners are gone; what could not be. */
export async function recoverGdbSessions(pid: number, log: (line: string) => void): Promise<void> {
  for (const { record, alive } of gdbSessions(pid)) {
    if (alive) continue;
    try {
      await recoverGdbSession(record);
      log(`session ${record.id} was left behind, and is gone now`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log(`session ${record.id} was left behind: ${message}`);
    }
  }
}
