import { PageTables } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { Command } from '../guest/stage-steps.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import { removeSocketPlace } from '../hot-plug/lent-socket.js';
import { serveAgain } from '../hot-plug/served-image.js';
import { unplugDisk } from '../qmp/hot-plug.js';
import { throughDoor } from './door.js';
import {
  diskSerial,
  functionsOf,
  gdbSessions,
  hex,
  Journal,
  removeRecord,
  type GdbRecord,
} from './journal.js';
import { SafePoint } from './safe-point.js';
import { flush, GdbStage, isHung, isMapped, processorsOf, type PlacedRecord } from './stage.js';
import { pagingRegisters } from './stub.js';

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
    await takeOut(record);
    if (disk) await unplugDisk(disk.monitor, disk.device);
  } finally {
    await served?.stop();
  }
  if (disk?.socket) removeSocketPlace(disk.socket);
  removeRecord(record.id);
}

async function takeOut(record: GdbRecord): Promise<void> {
  const left = await lookInside(record);
  if (left) {
    const { memory, mapped, placed } = left;
    try {
      if (mapped) await removeStage(memory, placed);
      // In memory, but not the kernel's: the guest was started anew, and nothing there is ours.
      else if (!isHung(memory, placed)) await freeUnhung(memory, placed);
    } finally {
      memory.close();
    }
  }
}

/**
 * Go to the machine and leave it again, by which it runs on where it was left standing, and what was
 * under way comes to its end; what of the stage is in the guest then.
 */
async function lookInside(
  record: GdbRecord,
): Promise<{ memory: ProcessMemory; mapped: boolean; placed: PlacedRecord } | undefined> {
  const { pid } = record.machine;
  try {
    const { result } = await throughDoor(pid, record.door, async (stub) => {
      const now = gdbSessions(pid).find((each) => each.record.id === record.id)?.record;
      if (!now?.block || !now.hung) return undefined;
      const placed = { ...now, block: now.block, hung: now.hung };
      const registers = await stub.registers();
      const memory = memoryOfProcess(pid, pagingRegisters(registers));
      return { memory, placed, mapped: isMapped(registers, memory, placed) };
    });
    return result;
  } catch (error) {
    // It never came so far: perhaps there never was a door there.
    if (record.block === undefined && record.point === undefined) return undefined;
    throw error;
  }
}

async function removeStage(memory: ProcessMemory, record: PlacedRecord): Promise<void> {
  const stage = new GdbStage(memory, record, new Journal(record));
  stage.refresh();
  if (!stage.control.idle) await stage.outcome(stage.control.sequence).catch(() => undefined);
  stage.refresh();
  if (stage.control.session !== 'none') await stage.command(Command.endSession);
  await stage.takeOut();
}

/**
 * A block that was not hung in: it was just allocated, or the guest was started anew. It is given back
 * only if it still is what we made of it.
 */
async function freeUnhung(memory: ProcessMemory, record: PlacedRecord): Promise<void> {
  const table = memory.read(record.block.physical, 8);
  const view = table && new DataView(table.buffer, table.byteOffset);
  const expected = BigInt(record.block.physical + 4096);
  if (view === undefined || (view.getBigUint64(0, true) & ~0xfffn) !== expected) return;
  await throughDoor(record.machine.pid, record.door, async (stub) =>
    SafePoint.with(stub, functionsOf(record), new Journal(record), async (point) => {
      const tables = PageTables.of(memory, pagingRegisters(point.registers));
      const virtual = hex(record.block.virtual);
      if (tables.translate(virtual)?.physical !== record.block.physical) return;
      memory.write(record.block.physical, new Uint8Array(8));
      await flush(stub, await processorsOf(stub, point));
      await point.free(record.block);
    }),
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
