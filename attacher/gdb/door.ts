import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DebloatError } from '../../analyzer/errors.js';
import { exclusively } from '../hijack/exclusive.js';
import { comeFirst, standBack } from '../priority.js';
import { withMonitor, type Monitor } from '../qmp/monitor.js';
import type { RegisterLayout } from './register-layout.js';
import { isSettled } from './journal.js';
import { settleAll } from './settle.js';
import { isDoorLeft, type MonitorDoor, type StubDoor } from './stub-door.js';
import { GdbStub, type StubAddress } from './stub.js';

/**
 * Do something with the machine of process `pid` through its stub, where it stands at first. Nobody
 * else of ours does meanwhile, and it runs afterwards, whatever happens. What was done, and for how
 * long the machine stood, in milliseconds.
 */
export async function throughDoor<T>(
  pid: number,
  door: StubDoor,
  act: (stub: GdbStub) => Promise<T>,
): Promise<{ result: T; held: number }> {
  return exclusively(pid, async () => {
    comeFirst();
    try {
      return await ('stub' in door
        ? throughStub(pid, door.stub, act)
        : throughMonitor(pid, door, act));
    } finally {
      standBack();
    }
  });
}

/** How the registers of machines lie that were visited before, by their processes. */
const layouts = new Map<number, RegisterLayout>();

async function throughStub<T>(
  pid: number,
  address: StubAddress,
  act: (stub: GdbStub) => Promise<T>,
): Promise<{ result: T; held: number }> {
  const stub = await enter(pid, address);
  let result: T;
  try {
    result = await act(stub);
  } catch (error) {
    await leave(stub, pid, address);
    throw error;
  }
  if (stub.layout) layouts.set(pid, stub.layout);
  await leave(stub, pid, address);
  return { result, held: stub.held };
}

/** Connect, and take back what somebody before us left under way: the machine stands then. */
async function enter(pid: number, address: StubAddress): Promise<GdbStub> {
  // Asked first: from then on the machine stands.
  const settled = isSettled(pid);
  const stub = GdbStub.open(address, layouts.get(pid));
  if (settled) return stub;
  try {
    await settleAll(pid, stub);
    return stub;
  } catch (error) {
    await stub.detach().catch(() => stub.abandon());
    throw error;
  }
}

/** Detach, where that was not done; where the connection does not do so any more, by another one. */
async function leave(stub: GdbStub, pid: number, address: StubAddress): Promise<void> {
  if (stub.left) return;
  try {
    await stub.stand();
    await stub.detach();
  } catch {
    await stub.abandon();
    // A machine that is gone has no stub, and needs nothing.
    await enter(pid, address)
      .then((again) => again.detach())
      .catch(() => undefined);
  }
}

async function throughMonitor<T>(
  pid: number,
  door: MonitorDoor,
  act: (stub: GdbStub) => Promise<T>,
): Promise<{ result: T; held: number }> {
  const { monitor, directory } = door;
  const path = join(directory, 'stub');
  return withMonitor(monitor, async (qmp) => {
    // A stub that a killed session left open would take the new one's socket along when it goes.
    if (isDoorLeft(door)) await close(qmp);
    else mkdirSync(directory, { mode: 0o700 });
    try {
      const said = await qmp.human(`gdbserver unix:${path},server=on,wait=off`);
      if (/error|could not|invalid|unknown/i.test(said)) {
        throw new DebloatError('The hypervisor opens no gdb stub.', { hint: said.trim() });
      }
      try {
        return await throughStub(pid, { path }, act);
      } finally {
        await close(qmp);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

async function close(qmp: Monitor): Promise<void> {
  await qmp.human('gdbserver none');
}
