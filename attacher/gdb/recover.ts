import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import type { PagingRegisters } from '../guest/page-tables.js';
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
  const { block, machine, door } = record;
  let paging: PagingRegisters;
  try {
    // By going there and leaving again the machine runs on, where it was left standing.
    const { result } = await throughDoor(machine.pid, door, async (stub) => {
      await settle(stub, record);
      return pagingRegisters(await stub.registers());
    });
    paging = result;
  } catch (error) {
    // It never came so far: perhaps there never was a door there.
    if (block === undefined) return;
    throw error;
  }
  if (block === undefined) return;
  const placed = { ...record, block };
  const memory = memoryOfProcess(machine.pid, paging);
  try {
    if (isMapped(memory, paging, block)) await removeStage(memory, placed);
    // In memory, but not the kernel's: the guest was started anew, and nothing there is ours.
    else if (isHung(memory, block)) return;
    else if (!isOthers(placed) && isInPadding(memory, paging, block)) takeBack(memory, block);
  } finally {
    memory.close();
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
