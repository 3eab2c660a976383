import { PageTables } from '../guest/index.js';
import type { ProcessMemory } from '../guest/memory/process-memory.js';
import { Command } from '../guest/stage-steps.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import { removeSocketPlace } from '../hot-plug/lent-socket.js';
import { serveAgain } from '../hot-plug/served-image.js';
import { unplugDisk } from '../qmp/hot-plug.js';
import { throughDoor } from './door.js';
import { diskSerial, gdbSessions, removeRecord, type GdbRecord } from './journal.js';
import { SafePoint } from './safe-point.js';
import { functionsOf, GdbStage, hex, isHung, isMapped, type PlacedRecord } from './stage.js';
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
  const { pid } = record.machine;
  const { block, hung } = record;
  if (block && hung) {
    const placed = { ...record, block, hung };
    const { result } = await throughDoor(pid, record.door, async (stub) => {
      const memory = memoryOfProcess(pid, pagingRegisters(await stub.registers()));
      return { memory, mapped: await isMapped(stub, memory, placed) };
    });
    const { memory, mapped } = result;
    try {
      if (mapped) await removeStage(memory, placed);
      // In memory, but not the kernel's: the guest was started anew, and nothing there is ours.
      else if (!isHung(memory, placed)) await freeUnhung(memory, placed);
    } finally {
      memory.close();
    }
  }
}

async function removeStage(memory: ProcessMemory, record: PlacedRecord): Promise<void> {
  const stage = new GdbStage(memory, record);
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
    SafePoint.with(stub, functionsOf(record), async (point) => {
      const tables = PageTables.of(memory, pagingRegisters(point.registers));
      const virtual = hex(record.block.virtual);
      if (tables.translate(virtual)?.physical !== record.block.physical) return;
      memory.write(record.block.physical, new Uint8Array(8));
      await point.call(functionsOf(record).freePages, virtual, BigInt(record.block.order));
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
