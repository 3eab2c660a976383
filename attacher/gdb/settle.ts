import { controlOffset } from '../guest/stage-control.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import { gdbSessions, hex, type GdbRecord } from './journal.js';
import { pagingRegisters } from './register-layout.js';
import type { GdbStub } from './stub.js';

/** `settle` for all sessions of the machine of process `pid` that were killed. */
export async function settleAll(pid: number, stub: GdbStub): Promise<void> {
  for (const { record, alive } of gdbSessions(pid)) if (!alive) await settle(stub, record);
}

/**
 * Take back what a session that nobody drives any more has under way in its machine: breakpoints, and
 * processors that were sent to its stage and have not begun. The machine stands before and after, and
 * nobody else may be at work in it.
 */
export async function settle(
  stub: GdbStub,
  { machine, schedule, block }: GdbRecord,
): Promise<void> {
  // Nobody waits for what stops there.
  if (hex(schedule) !== 0n) await clearAll(stub, hex(schedule));
  if (block === undefined) return;
  for (const thread of await stub.threads()) {
    await stub.select(thread);
    const registers = await stub.registers();
    if (registers.get('rip') !== hex(block.entrance)) continue;
    const memory = memoryOfProcess(machine.pid, pagingRegisters(registers));
    const place = block.physical + block.control + controlOffset.resume_rip;
    const resume = memory.read(place, 16);
    memory.close();
    if (resume === undefined) continue;
    const view = new DataView(resume.buffer, resume.byteOffset);
    await stub.setRegisters([
      ['rip', view.getBigUint64(0, true)],
      ['eflags', view.getBigUint64(8, true)],
    ]);
  }
}

async function clearAll(stub: GdbStub, address: bigint): Promise<void> {
  for (let left = 16; left > 0; left--) {
    try {
      await stub.clearBreakpoint(address);
    } catch {
      return; // there is none any more
    }
  }
}
