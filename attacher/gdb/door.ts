import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DebloatError } from '../../analyzer/errors.js';
import { exclusively } from '../hijack/exclusive.js';
import { withMonitor, type MonitorAddress } from '../qmp/monitor.js';
import type { RegisterLayout } from './register-layout.js';
import { isSettled, settleCalls } from './settle.js';
import { GdbStub, nameOf, type StubAddress } from './stub.js';

/** The way to a gdb stub: one that listens, or one that the hypervisor opens when its monitor asks. */
export type StubDoor = { stub: StubAddress } | { monitor: MonitorAddress };

export function describeDoor(door: StubDoor): string {
  return 'stub' in door
    ? `the gdb stub at ${nameOf(door.stub)}`
    : `a gdb stub opened by the monitor at ${nameOf(door.monitor)}`;
}

/** "SOCKET" or "HOST:PORT", as a user gives it. */
export function parseStubAddress(text: string): StubAddress {
  const [, host = '', port = ''] = /^(?:tcp:)?([^/]*):(\d{1,5})$/.exec(text) ?? [];
  if (port === '') return { path: text.replace(/^unix:/, '') };
  return { host: host === '' ? '127.0.0.1' : host, port: Number(port) };
}

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
  return exclusively(pid, () =>
    'stub' in door ? throughStub(pid, door.stub, act) : throughMonitor(pid, door.monitor, act),
  );
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
    await leave(stub, pid, address, settleCalls);
    throw error;
  }
  if (stub.layout) layouts.set(pid, stub.layout);
  await leave(stub, pid, address);
  return { result, held: stub.held };
}

/** Connect, and bring to its end what somebody before us left under way: the machine stands then. */
async function enter(pid: number, address: StubAddress): Promise<GdbStub> {
  // Asked first: from then on the machine stands.
  const settled = isSettled(pid);
  const stub = GdbStub.open(address, layouts.get(pid));
  if (settled) return stub;
  try {
    await settleCalls(pid, stub);
    return stub;
  } catch (error) {
    // Not detached: without its breakpoint a call would return to nowhere.
    await stub.abandon();
    throw error;
  }
}

/** Detach, after what is left to do; where the connection does not do so any more, by another one. */
async function leave(
  stub: GdbStub,
  pid: number,
  address: StubAddress,
  settle?: typeof settleCalls,
): Promise<void> {
  try {
    await stub.stand();
    await settle?.(pid, stub);
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
  monitor: MonitorAddress,
  act: (stub: GdbStub) => Promise<T>,
): Promise<{ result: T; held: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'debloat-gdb-'));
  const path = join(directory, 'stub');
  try {
    return await withMonitor(monitor, async (qmp) => {
      const said = await qmp.human(`gdbserver unix:${path},server=on,wait=off`);
      if (/error|could not|invalid|unknown/i.test(said)) {
        throw new DebloatError('The hypervisor opens no gdb stub.', { hint: said.trim() });
      }
      try {
        return await throughStub(pid, { path }, act);
      } finally {
        await qmp.human('gdbserver none');
      }
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
