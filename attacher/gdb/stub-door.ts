import { randomBytes } from 'node:crypto';
import { lstatSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { MonitorAddress } from '../qmp/monitor.js';
import { nameOf, type StubAddress } from './stub.js';

/** Where a stub or a monitor listens. */
export const listenerAddress = z.union([
  z.object({ path: z.string() }),
  z.object({ host: z.string(), port: z.int().min(1).max(65535) }),
]);

/** One that the hypervisor opens when its monitor asks, in a directory that is there meanwhile. */
const monitorDoor = z.object({ monitor: listenerAddress, directory: z.string() });
export type MonitorDoor = z.infer<typeof monitorDoor>;

/** The way to a gdb stub: one that listens, or one that is opened. */
export const stubDoor = z.union([z.object({ stub: listenerAddress }), monitorDoor]);
export type StubDoor = z.infer<typeof stubDoor>;

/**
 * A stub to be opened by a monitor. Its place is chosen before, so that a session can note it, and
 * whoever comes after a killed one finds what was left open.
 */
export function doorBy(monitor: MonitorAddress): MonitorDoor {
  const name = `debloat-gdb-${randomBytes(6).toString('hex')}`;
  return { monitor, directory: join(resolve(tmpdir()), name) };
}

/** The machine is gone: no stub is open any more, and what is left here goes. */
export function forgetDoor(door: StubDoor): void {
  if ('directory' in door) rmSync(door.directory, { recursive: true, force: true });
}

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

/** Whether somebody of ours was killed with it open; nobody else can have made its directory. */
export function isDoorLeft({ directory }: MonitorDoor): boolean {
  const facts = lstatSync(directory, { throwIfNoEntry: false });
  return facts?.isDirectory() === true && facts.uid === process.geteuid?.();
}
