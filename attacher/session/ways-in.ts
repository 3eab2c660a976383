import { commandLine, workingDirectory } from '../hypervisor/procfs.js';
import { doorBy, parseStubAddress, type StubDoor } from '../gdb/stub-door.js';
import { listenersOf } from '../qmp/command-line.js';
import type { MonitorAddress } from '../qmp/monitor.js';

/** What the user says about how a machine is to be reached, in words of the command line. */
export interface WaysAsked {
  gdb?: string | undefined;
  qmp?: string | undefined;
}

/** How a machine can be reached without KVM. */
export interface WaysIn {
  monitors: MonitorAddress[];
  /** Stubs first, for a monitor opens one only where there is none. */
  doors: StubDoor[];
}

/** The monitors and stubs of process `pid`: those asked for, else those on its command line. */
export function waysInto(pid: number, { gdb, qmp }: WaysAsked): WaysIn {
  const found = listenersOf(commandLine(pid), workingDirectory(pid));
  const monitors = qmp === undefined ? found.monitors : [parseStubAddress(qmp)];
  const stub = gdb === undefined ? found.stub : parseStubAddress(gdb);
  const doors = stub ? [{ stub }] : monitors.map(doorBy);
  return { monitors, doors };
}
