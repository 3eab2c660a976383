import { randomBytes } from 'node:crypto';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { controlOffset, pollGsi } from '../guest/stage-control.js';
import { sessionSegment } from '../guest/session-pages.js';
import { Command } from '../guest/stage-steps.js';
import type { VirtualMachine } from '../hypervisor/index.js';
import type { DiskOptions } from '../virtio/disk/open-disk.js';
import { MmioServer } from '../virtio/mmio/mmio-server.js';
import type { MmioDisk, MmioReport } from '../virtio/mmio/worker-protocol.js';
import { windowAddress, windowSize, writePageTables } from './arena.js';
import { Attachment } from './attachment.js';
import { freeLines } from './interrupt-line.js';
import { whileOptimizerRests } from './optimizer.js';
import type { AttachPlan } from './prepare.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { rehearse, rehearseEntrance } from './rehearse.js';
import { createArena, createEvents, plugIn, type Resources } from './resources.js';
import { waitForDriver } from './wait-for-driver.js';
import { guestRegions } from './guest-regions.js';
import { sessionsIn } from './sessions.js';
import { closeArena, takeArenaOut } from './take-out.js';
import { HijackTarget } from './target.js';

export interface AttachDiskOptions {
  disk: DiskOptions;
  /** The disk's serial in the guest. */
  serial: string;
  /** What the session is called; a new name if none is given. */
  id?: string | undefined;
  /** Have the guest's modprobe load the drivers that are missing. */
  loadDrivers: boolean;
  /** Where modules for the guest were looked for, for people. */
  modules?: string | undefined;
  /** What the guest shall do before it gets the disk. */
  first?: ((attachment: Attachment) => Promise<void>) | undefined;
  log: (line: string) => void;
  /** Told of each step before it is taken. */
  onStep?: (step: string) => void;
}

/** A disk of ours in a running VM. */
export class AttachedDisk {
  /** Settles when serving has ended: detached, or the hypervisor is gone. */
  readonly ended: Promise<MmioReport>;

  constructor(
    readonly attachment: Attachment,
    readonly server: MmioServer,
    /** Milliseconds: how long threads of the hypervisor stood, and what the guest took. */
    readonly times: { stopped: number; guest: number },
  ) {
    this.ended = server.ended;
  }

  get id(): string {
    return this.attachment.record.id;
  }

  /** Take the disk away from the guest, and everything of ours out of it. Throws DebloatError. */
  async detach(): Promise<MmioReport> {
    const { attachment, server } = this;
    attachment.target.stopped = 0;
    if (attachment.record.guest !== 'removed') {
      attachment.note('removing');
      try {
        await attachment.commandIfThere(Command.removeDisk);
      } catch (error) {
        // The session stays in the VM for `recoverSession`; nobody serves it, and our process can end.
        server.stop();
        throw error;
      }
      attachment.note('removed');
    }
    server.stop();
    const report = await server.ended;
    await attachment.takeOut();
    return report;
  }
}

/** Carry out a plan: afterwards the guest has the disk. Throws DebloatError, and nothing is left then. */
export async function attachDisk(
  machine: VirtualMachine,
  plan: AttachPlan,
  options: AttachDiskOptions,
): Promise<AttachedDisk> {
  const onStep = options.onStep ?? (() => undefined);
  const id = options.id ?? randomBytes(4).toString('hex');
  const others = sessionsIn(machine.pid);
  if (others.some((each) => each.id === id)) {
    throw new DebloatError(`A session "${id}" is attached to the virtual machine already.`, {
      hint: `debloat detach ${id}`,
    });
  }
  const target = HijackTarget.of(machine);
  try {
    const resources = await whileOptimizerRests(async () => {
      rehearseEntrance(machine.memory, plan);
      await rehearse(plan.gateCode);
      return addResources(target, plan, options, id, onStep);
    });
    return await start(machine, target, plan, resources, options, onStep);
  } catch (error) {
    target[Symbol.dispose]();
    throw error;
  }
}

async function addResources(
  target: HijackTarget,
  plan: AttachPlan,
  options: AttachDiskOptions,
  id: string,
  onStep: (step: string) => void,
): Promise<Resources> {
  const records = sessionsIn(target.pid).flatMap(({ record }) => record ?? []);
  const takenLines = records.flatMap(({ gsi }) => gsi ?? []);
  const request = {
    ...{ id, onStep, layout: plan.layout, guestAddresses: plan.guestAddresses },
    gateCode: plan.gateCode,
    owner: { pid: process.pid, started: startTimeOf(process.pid) ?? '' },
    image: options.disk.image,
    virtualAddress: plan.entry.virtualAddress,
    takenSlots: records.flatMap(({ slots }) => (slots ? [slots.ram, slots.passive] : [])),
    lines: (redirections: bigint[]) => freeLines(redirections, takenLines),
    deviceId: freeDeviceId(records.map(({ deviceId }) => deviceId)),
  };
  let arena: Pick<Resources, 'file' | 'record'> | undefined;
  try {
    return await target.whileStopped((thread) => {
      arena = createArena(target, thread, request);
      thread.deputize();
      const events = createEvents(target, thread, arena, onStep);
      const resources = { ...arena, events };
      plugIn(target, thread, resources, request);
      return resources;
    });
  } catch (error) {
    if (arena) await takeArenaOut(target, arena, onStep);
    else await closeArena(target, id, plan.layout.fileSize, onStep);
    throw error;
  }
}

/** Device numbers far from those that a machine description uses. */
function freeDeviceId(taken: number[]): number {
  let id = 0xdb0;
  while (taken.includes(id)) id++;
  return id;
}

async function start(
  machine: VirtualMachine,
  target: HijackTarget,
  plan: AttachPlan,
  { file, record, events }: Resources,
  options: AttachDiskOptions,
  onStep: (step: string) => void,
): Promise<AttachedDisk> {
  const place = { guestAddress: record.guestAddress, virtualAddress: plan.entry.virtualAddress };
  const { layout, stage, session } = plan;
  file.bytes.set(stage.image, layout.image);
  const further = session ? [sessionSegment(stage.image.length, session)] : [];
  writePageTables(file.bytes, layout, place, [...stage.segments, ...further], plan.noExecute);
  record.control = layout.image + Number(stage.entry('stage1_control') - stage.base);
  record.entry = stage.entry('stage1_interrupted').toString(16);
  record.entryAddress = plan.entry.address;
  const attachment = new Attachment(target, file, record, events, { onStep, log: options.log });
  const polling = record.gsi === undefined;
  attachment.control.setDisk({
    window: BigInt(windowAddress(layout, place)),
    windowSize,
    gsi: record.gsi ?? pollGsi,
    deviceId: record.deviceId,
  });
  attachment.note('untouched');
  let server: MmioServer | undefined;
  try {
    server = await serve(machine, attachment, options.disk, options, false);
    attachment.hangIn();
    const begun = performance.now();
    await options.first?.(attachment);
    attachment.note('adding');
    await attachment.command(Command.addDisk);
    attachment.note('there');
    await waitForDriver(attachment, layout.windowHead, options);
    if (polling) options.log('no interrupt line could be had: the guest polls');
    return new AttachedDisk(attachment, server, {
      stopped: target.stopped,
      guest: performance.now() - begun,
    });
  } catch (error) {
    await giveUp(attachment, server);
    throw error;
  }
}

/** A thread that serves `disk` through the attachment's window. */
export async function serve(
  machine: VirtualMachine,
  attachment: Attachment,
  disk: MmioDisk,
  options: { serial: string; log: (line: string) => void },
  takeOver: boolean,
): Promise<MmioServer> {
  const { file, record, events } = attachment;
  const { layout } = attachment;
  const { notify = -1, status = -1, interrupt } = events;
  return MmioServer.start(
    {
      disk,
      takeOver,
      window: {
        fd: file.fd,
        registers: layout.windowHead,
        readOnly: layout.passivePage,
        inflight: layout.inflight,
        ...(record.gsi === undefined ? { tick: record.control + controlOffset.tick } : {}),
      },
      doorbells: { notify, status },
      interrupt: record.gsi === undefined ? undefined : interrupt,
      memory: { pid: machine.pid, regions: guestRegions(machine.memory) },
      id: options.serial,
    },
    options.log,
  );
}

/** Undo what can be undone; what the guest still works on must stay, for `recover` to end. */
async function giveUp(attachment: Attachment, server: MmioServer | undefined): Promise<void> {
  const { record, options } = attachment;
  const { idle } = attachment.control;
  try {
    if (attachment.hangs && !idle) {
      options.log('the guest is still busy with what it was asked to do: the session stays');
      return;
    }
    if (attachment.control.session !== 'none') {
      await attachment.commandIfThere(Command.endSession);
    }
    if (attachment.isInGuest) {
      attachment.note('removing');
      await attachment.commandIfThere(Command.removeDisk);
      attachment.note('removed');
    }
    server?.stop();
    await server?.ended;
    await attachment.takeOut();
  } catch (error) {
    options.log(`session ${record.id} could not be undone: ${messageOf(error)}`);
  }
}
