import { randomBytes } from 'node:crypto';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { FillSession } from '../gdb/block.js';
import { enterGuest } from '../gdb/enter.js';
import {
  diskSerial,
  removeRecord,
  removeUnplaced,
  requireNewName,
  writeRecord,
  type GdbRecord,
} from '../gdb/journal.js';
import { recoverGdbSessions } from '../gdb/recover.js';
import { describeDoor } from '../gdb/stub-door.js';
import { findGuest } from '../gdb/guest.js';
import { collectGarbage } from '../garbage.js';
import { rehearseLook } from '../gdb/rehearsal.js';
import { GuestGone } from '../gdb/send.js';
import type { GdbStage } from '../gdb/stage.js';
import { markBytes } from '../guest/byte-ring.js';
import type { ModuleFile } from '../guest/session-frames.js';
import { modulesFor, overlayDrivers, plugDrivers } from '../modules/index.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { exclusively } from '../hijack/exclusive.js';
import { plugOverlay, type OverlayDisk } from '../hot-plug/overlay-disk.js';
import { withMonitor, type MonitorAddress } from '../qmp/monitor.js';
import { Refusal } from '../refusal.js';
import { Pulse } from './pulse.js';
import type { OpenRequest, OpenSession } from './backend.js';
import { GuestChannel } from './guest-channel.js';
import { writeSession } from './stage-session.js';
import type { WaysIn } from './ways-in.js';

/** Open a session through the gdb stub, with the overlay's disk put in by the monitor. */
export async function openByStub(request: OpenRequest, ways: WaysIn): Promise<OpenSession> {
  const begun = performance.now();
  const { pid, id, image, cacheDirectory, log } = request;
  const [door] = ways.doors;
  if (door === undefined) {
    throw new Refusal(
      'not-found',
      `process ${pid} has no gdb stub and no monitor that could open one`,
      {
        hint: 'give one by --gdb or --qmp; `debloat targets` lists the virtual machines here',
      },
    );
  }
  const machineStarted = startTimeOf(pid);
  if (machineStarted === undefined) throw new Refusal('not-found', `there is no process ${pid}`);
  await recoverGdbSessions(pid, log);
  requireNewName(id);
  const monitor = await workingMonitor(pid, ways.monitors);
  const name = `debloat-${id}`;
  const serial = diskSerial(name);
  const record: GdbRecord = {
    ...{ version: 2, id, image, door, schedule: '0' },
    disk: { monitor, device: name, node: name },
    owner: { pid: process.pid, started: startTimeOf(process.pid) ?? '' },
    machine: { pid, started: machineStarted },
  };
  writeRecord(record);
  let modules: ModuleFile[];
  let disk: OverlayDisk;
  try {
    modules = await modulesOf(request, monitor);
    // While the hypervisor is waited for; without it the machine only stands longer.
    const rehearsed = rehearseLook()
      .then(collectGarbage)
      .catch(() => undefined);
    disk = await plugOverlay({
      ...{ pid, monitor, name, serial, image, log },
      note: (socket) => {
        record.disk = { monitor, device: name, node: name, ...(socket && { socket }) };
        writeRecord(record);
      },
    });
    await rehearsed;
  } catch (error) {
    removeRecord(id);
    throw error;
  }
  const mark = randomBytes(markBytes);
  const fill: FillSession = ({ memory, control }, start, address, contents) => {
    const { pages, program } = contents;
    new GuestChannel(memory, start, pages, mark).reset();
    control.setSession(writeSession(memory, start, pages, address, program));
  };
  let entered: Awaited<ReturnType<typeof enterGuest>>;
  try {
    entered = await enterGuest({ monitor, cacheDirectory, record, fill });
  } catch (error) {
    await disk.unplug().then(
      () => removeUnplaced(id),
      (problem: unknown) => log(messageOf(problem)),
    );
    throw error;
  }
  const { stage, start, pages, times } = entered;
  const channel = new GuestChannel(stage.arena, start, pages, mark);
  const pulse = new Pulse(
    () => stage.beats,
    () => isRunning(monitor),
  );
  return {
    backend: describeDoor(door),
    disk: disk.way,
    ...{ serial, channel, modules },
    times: { ...times, stopped: stage.held, total: performance.now() - begun },
    isAlive: () =>
      startTimeOf(pid) === machineStarted && stage.hangs && pulse.beats && channel.isOurs,
    close: () => close(stage, disk, () => startTimeOf(pid) === machineStarted),
  };
}

async function takeOut(stage: GdbStage): Promise<void> {
  stage.refresh();
  if (!stage.hangs) return;
  try {
    await stage.leave();
  } catch (error) {
    if (!(error instanceof GuestGone)) throw error;
  }
}

/** Whether the machine's processors may run; true where nobody says otherwise. */
async function isRunning(monitor: MonitorAddress): Promise<boolean> {
  try {
    return (await statusOf(monitor)) === 'running';
  } catch {
    return true;
  }
}

async function statusOf(monitor: MonitorAddress): Promise<string> {
  const answer = await withMonitor(monitor, (qmp) => qmp.execute('query-status'));
  return (answer as { status: string }).status;
}

/** What the guest shall be given first, by a look at its kernel: before the disk is plugged in. */
async function modulesOf(
  { pid, image, cacheDirectory, modules }: OpenRequest,
  monitor: MonitorAddress,
): Promise<ModuleFile[]> {
  if (modules === undefined) return [];
  const { kernel, memory } = await findGuest(pid, monitor, { cacheDirectory });
  try {
    return modulesFor(modules, kernel, [...plugDrivers, ...overlayDrivers(image)]);
  } finally {
    memory.close();
  }
}

async function close(stage: GdbStage, disk: OverlayDisk, isThere: () => boolean): Promise<number> {
  const { record } = stage;
  try {
    if (isThere()) await takeOut(stage);
    if (isThere()) await disk.unplug();
    else await disk.abandon();
  } catch (error) {
    await (isThere() ? disk.leave() : disk.abandon());
    if (isThere()) throw error;
  } finally {
    stage.memory.close();
  }
  removeRecord(record.id);
  return stage.held;
}

/** The first that answers. Throws DebloatError with the reasons of all. */
async function workingMonitor(
  pid: number,
  monitors: readonly MonitorAddress[],
): Promise<MonitorAddress> {
  const reasons: string[] = [];
  for (const monitor of monitors) {
    try {
      // Not while another session's stub has the machine stand.
      const status = await exclusively(pid, () => statusOf(monitor));
      if (status === 'running') return monitor;
      throw new Refusal('paused', `the virtual machine is not running: ${status}`);
    } catch (error) {
      if (!(error instanceof DebloatError) || error instanceof Refusal) throw error;
      reasons.push(`${error.message} ${error.hint ?? ''}`.trim());
    }
  }
  throw new Refusal(
    'not-found',
    'no monitor was found that could give the guest the overlay’s disk',
    {
      hint: [
        ...reasons,
        'give one by --qmp SOCKET (qemu -qmp unix:SOCKET,server=on,wait=off)',
      ].join('; '),
    },
  );
}
