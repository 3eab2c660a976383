import { readFileSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { sessionProgramPath } from '../../native/guest-stage.js';
import { mappedArena } from '../guest/arena-memory.js';
import { layoutSession } from '../guest/session-pages.js';
import { Command } from '../guest/stage-steps.js';
import { imageAddress } from '../hijack/arena.js';
import {
  attachDisk,
  exclusively,
  preparePlan,
  type AttachedDisk,
  type AttachPlan,
} from '../hijack/index.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { openVirtualMachine } from '../hypervisor/index.js';
import type { OpenRequest, OpenSession } from './backend.js';
import { GuestChannel } from './guest-channel.js';
import { writeSession } from './stage-session.js';

/** Bytes of each ring; the arena is of our own making, so there is room. */
const ringSize = 65536;

/** Open a session through the KVM hijack: disk and rings are in the arena. Refused where KVM runs no guest here. */
export async function openByKvm(request: OpenRequest): Promise<OpenSession> {
  const begun = performance.now();
  const machine = openVirtualMachine(request.pid);
  try {
    return await open(machine, request, begun);
  } catch (error) {
    machine.close();
    throw error;
  }
}

async function open(
  machine: ReturnType<typeof openVirtualMachine>,
  request: OpenRequest,
  begun: number,
): Promise<OpenSession> {
  const { pid, id, image, cacheDirectory, log } = request;
  const path = sessionProgramPath();
  if (path === undefined) throw new DebloatError('Stage 2 is missing: npm run build.');
  const program = readFileSync(path);
  const session = layoutSession(program.length, ringSize);
  const serial = `debloat-${id}`.slice(0, 20);
  const started = startTimeOf(pid);
  let prepare = 0;
  const opened = await exclusively(pid, async () => {
    const plan = preparePlan(machine, { cacheDirectory, session });
    prepare = performance.now() - begun;
    const attached = await attachDisk(machine, plan, {
      disk: { image, mode: 'read-only', preload: false, sessionFile: undefined },
      ...{ id, serial, log, loadDrivers: true },
    });
    try {
      return { attached, channel: await start(attached, plan, program) };
    } catch (error) {
      await attached.detach();
      throw error;
    }
  });
  const { attached, channel } = opened;
  const { stopped, guest } = attached.times;
  return {
    backend: `${machine.name} by KVM`,
    ...{ serial, channel },
    times: { prepare, stopped, guest, total: performance.now() - begun },
    isAlive: () => startTimeOf(pid) === started && attached.attachment.hangs,
    close: async () => {
      const { attachment } = attached;
      try {
        return await exclusively(pid, async () => {
          if (attachment.control.session !== 'none') await attachment.command(Command.endSession);
          const before = attachment.target.stopped;
          await attached.detach();
          return before + attachment.target.stopped;
        });
      } finally {
        machine.close();
      }
    },
  };
}

/** Have the guest start stage 2, its rings behind the stage's image. */
async function start(
  { attachment }: AttachedDisk,
  plan: AttachPlan,
  program: Uint8Array,
): Promise<GuestChannel> {
  const { file, record, control } = attachment;
  const { layout, stage, session } = plan;
  if (session === undefined) throw new RangeError('the plan has no session');
  const memory = mappedArena(file.bytes);
  const at = layout.image + stage.image.length;
  const place = {
    guestAddress: record.guestAddress,
    virtualAddress: BigInt(`0x${record.virtualAddress}`),
  };
  const address = imageAddress(place) + BigInt(stage.image.length);
  const channel = new GuestChannel(memory, at, session);
  channel.reset();
  control.setSession(writeSession(memory, at, session, address, program));
  await attachment.command(Command.startSession);
  return channel;
}
