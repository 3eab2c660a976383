import { CloudHypervisorApi } from './cloud-hypervisor/api.js';
import { apiSessions } from './cloud-hypervisor/journal.js';
import { recoverApiSession } from './cloud-hypervisor/plugged-disk.js';
import { containerSessions } from './container/record.js';
import { gdbSessions } from './gdb/journal.js';
import { recoverGdbSession } from './gdb/recover.js';
import { allSessions, exclusively, recoverSession } from './hijack/index.js';
import { openVirtualMachine } from './hypervisor/index.js';

/** A session somewhere on this machine, however it was opened. */
export interface ListedSession {
  readonly id: string;
  /** "qemu://4242", "docker://web" */
  readonly target: string;
  /** File or digest of what is attached, where it is known. */
  readonly image: string | undefined;
  readonly way: 'KVM' | 'gdb stub' | 'API' | 'namespaces';
  /** The process that holds it; undefined where that was killed, and the session was left behind. */
  readonly owner: number | undefined;
  /** Take out what was left behind. Throws DebloatError where it cannot be. */
  takeOut(log: (line: string) => void): Promise<void>;
}

/** All sessions on this machine that we may know of. */
export function listSessions(): ListedSession[] {
  return [...inMemory(), ...throughStubs(), ...throughApis(), ...inContainers()];
}

function inMemory(): ListedSession[] {
  return allSessions().map(({ id, pid, record, alive }) => ({
    ...{ id, target: `qemu://${pid}`, image: record?.image, way: 'KVM' },
    owner: alive ? record?.owner.pid : undefined,
    takeOut: (log) =>
      exclusively(pid, async () => {
        using machine = openVirtualMachine(pid);
        await recoverSession(machine, id, { log });
      }),
  }));
}

function throughStubs(): ListedSession[] {
  return gdbSessions().map(({ record, alive }) => ({
    ...{ id: record.id, target: `qemu://${record.machine.pid}`, image: record.image },
    ...{ way: 'gdb stub', owner: alive ? record.owner.pid : undefined },
    takeOut: () => recoverGdbSession(record),
  }));
}

function throughApis(): ListedSession[] {
  return apiSessions().map(({ record, alive }) => ({
    ...{ id: record.id, target: `qemu://${record.machine.pid}`, image: record.image },
    ...{ way: 'API', owner: alive ? record.owner.pid : undefined },
    takeOut: () => recoverApiSession(new CloudHypervisorApi(record.api), record),
  }));
}

function inContainers(): ListedSession[] {
  return containerSessions().map(({ id, target, overlay, owner }) => ({
    ...{ id, target, image: overlay, way: 'namespaces', owner: owner.pid },
    takeOut: () => Promise.resolve(), // it went with its process
  }));
}
