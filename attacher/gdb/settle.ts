import { arenaIn } from '../guest/arena-memory.js';
import { controlOffset, controlSize, StageControl } from '../guest/stage-control.js';
import { memoryOfProcess } from '../hypervisor/emulated-machine.js';
import {
  functionsOf,
  gdbSessions,
  hex,
  Journal,
  standsNowhere,
  type NotedPoint,
} from './journal.js';
import { SafePoint, untilReturned, type SafePointSymbols } from './safe-point.js';
import { pagingRegisters, type GdbStub } from './stub.js';

/** How far down a kernel stack reaches (THREAD_SIZE, with room for kernels that have more). */
const stackSize = 32768n;
/** How far below the safe point's stack pointer calls begin, at most. */
const callsRoom = 4096n;

/**
 * Where a processor is that was left at a safe point: it has not begun the call that was noted, is in
 * it, has returned from it, or has gone on without us.
 */
export type Progress = 'before' | 'inside' | 'returned' | 'elsewhere';

/** `returnAddress` is what the guest has in memory where a call's return address would be. */
export function progressOf(
  point: NotedPoint,
  now: ReadonlyMap<string, bigint>,
  { panic }: Pick<SafePointSymbols, 'panic'>,
  returnAddress: bigint | undefined,
): Progress {
  const then = (name: string) => hex(point.registers[name] ?? '0');
  const [rip, rsp] = [now.get('rip') ?? 0n, now.get('rsp') ?? 0n];
  // In kernel mode these two are a processor's own; after a restart of the guest they are others.
  const isThere = now.get('cs') === then('cs') && (now.get('gs_base') ?? 0n) === then('gs_base');
  const below = then('rsp') - rsp;
  if (!isThere || below < 0n || below > stackSize) return 'elsewhere';
  const { call } = point;
  const stack = call && hex(call.stack);
  if (rip === panic && stack !== undefined && rsp === stack + 8n) return 'returned';
  // It has not gone on from where it stood, or from where the call before this one had ended.
  if (rip === then('rip') || rip === panic) return below <= callsRoom ? 'before' : 'elsewhere';
  if (call === undefined || stack === undefined || rsp > stack) return 'elsewhere';
  if (rip === hex(call.function) && rsp === stack) return 'before';
  return returnAddress === panic ? 'inside' : 'elsewhere';
}

/** Whether no session of the machine of process `pid` can have left anything for `settleCalls`. Nobody else may be at work in it. */
export function isSettled(pid: number): boolean {
  return (
    standsNowhere(pid, process.pid) ||
    gdbSessions(pid).every(({ record, alive }) => alive && record.point === undefined)
  );
}

/**
 * Bring to its end what sessions of the machine of process `pid` left under way on its processors, and
 * have them go on as if nothing had been. The machine stands before and after. Nobody else may be at
 * work in it: a point that is noted then was left behind. Throws DebloatError where a call does not end.
 */
export async function settleCalls(pid: number, stub: GdbStub): Promise<void> {
  for (const { record, alive } of gdbSessions(pid)) {
    if (record.point) await settle(stub, new Journal(record), record.point);
    if (alive) continue;
    // Nobody waits for what stops there.
    const { schedule, panic } = functionsOf(record);
    for (const address of [schedule, panic]) if (address !== 0n) await clearAll(stub, address);
  }
}

async function settle(stub: GdbStub, journal: Journal, point: NotedPoint): Promise<void> {
  const symbols = functionsOf(journal.record);
  const { thread } = point;
  let progress: Progress = 'elsewhere';
  if ((await stub.threads()).includes(thread)) {
    await stub.select(thread);
    const bytes = point.call && (await stub.read(hex(point.call.stack), 8));
    const returnAddress = bytes && Buffer.from(bytes).readBigUInt64LE();
    progress = progressOf(point, await stub.registers(), symbols, returnAddress);
  }
  if (progress === 'elsewhere') {
    journal.note({ point: undefined });
    return;
  }
  // It may be set already, more than once, and one removal takes one away.
  await clearAll(stub, symbols.panic);
  await stub.setBreakpoint(symbols.panic);
  if (progress === 'inside') {
    stub.resume();
    await untilReturned(stub, thread, symbols);
    progress = 'returned';
  }
  await SafePoint.again(stub, symbols, journal, point, (safe) =>
    finish(safe, point, progress === 'returned'),
  );
}

/** What a call has given belongs to nobody any more, and what was not begun is done or taken back. */
async function finish(safe: SafePoint, point: NotedPoint, returned: boolean): Promise<void> {
  const { stub, journal } = safe;
  const { call } = point;
  if (call === undefined) return;
  const { allocatePages, freePages } = functionsOf(journal.record);
  const [first = 0n, second = 0n] = call.parameters.map(hex);
  switch (hex(call.function)) {
    case allocatePages: {
      const pages = returned ? ((await stub.registers()).get('rax') ?? 0n) : 0n;
      if (pages !== 0n) await safe.call(freePages, [pages, second]);
      return;
    }
    case freePages:
      if (!returned) await safe.call(freePages, [first, second]);
      journal.note({ block: undefined, hung: undefined, point: safe.noted });
      return;
    default:
      if (!returned) abandonCommand(safe);
  }
}

/** The stage was given a command, and no processor went to queue its work. */
function abandonCommand({ journal, registers }: SafePoint): void {
  const { block, control, machine } = journal.record;
  if (block === undefined) return;
  const memory = memoryOfProcess(machine.pid, pagingRegisters(registers));
  try {
    const arena = arenaIn(memory, block.physical, block.size);
    arena.pull(control, controlSize);
    const stage = new StageControl(arena.bytes.subarray(control, control + controlSize));
    if (stage.idle) return;
    stage.abandon();
    arena.push(control, controlOffset.queued);
  } finally {
    memory.close();
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
