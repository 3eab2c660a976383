import { Command } from '../guest/stage-steps.js';
import { attachDisk, exclusively, openUndisturbed, preparePlan } from '../hijack/index.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { isRunning, type VirtualMachine } from '../hypervisor/index.js';
import type { OpenRequest, OpenSession } from './backend.js';
import { modulesFor, overlayDrivers, windowDrivers } from '../modules/index.js';
import { loadByStage2, readStage2, startStage2 } from './kvm-stage2.js';
import { Pulse } from './pulse.js';

/** Open a session through the KVM hijack: disk and rings are in the arena. Refused where KVM runs no guest here. */
export async function openByKvm(request: OpenRequest): Promise<OpenSession> {
  const begun = performance.now();
  const machine = await openUndisturbed(request.pid);
  try {
    return await open(machine, request, begun);
  } catch (error) {
    machine.close();
    throw error;
  }
}

async function open(
  machine: VirtualMachine,
  request: OpenRequest,
  begun: number,
): Promise<OpenSession> {
  const { pid, id, image, cacheDirectory, log } = request;
  const stage2 = readStage2();
  const serial = `debloat-${id}`.slice(0, 20);
  const started = startTimeOf(pid);
  let prepare = 0;
  const opened = await exclusively(pid, async () => {
    const plan = preparePlan(machine, { cacheDirectory, session: stage2.pages });
    const modules =
      request.modules === undefined
        ? []
        : modulesFor(request.modules, plan.kernel, [...windowDrivers, ...overlayDrivers(image)]);
    prepare = performance.now() - begun;
    const attached = await attachDisk(machine, plan, {
      disk: { image, mode: 'read-only', preload: false, sessionFile: undefined },
      ...{ id, serial, log, loadDrivers: true, modules: request.modules },
      ...(modules.length === 0
        ? {}
        : { first: (attachment) => loadByStage2(attachment, plan, stage2, modules) }),
    });
    try {
      return { attached, channel: await startStage2(attached.attachment, plan, stage2) };
    } catch (error) {
      await attached.detach();
      throw error;
    }
  });
  const { attached, channel } = opened;
  const { stopped, guest } = attached.times;
  const pulse = new Pulse(
    () => attached.attachment.control.beats,
    () => Promise.resolve(machine.vcpus.some((vcpu) => isRunning(pid, vcpu))),
  );
  return {
    backend: `${machine.name} by KVM`,
    disk: 'virtio-mmio',
    ...{ serial, channel, modules: [] },
    times: { prepare, stopped, guest, total: performance.now() - begun },
    isAlive: () => startTimeOf(pid) === started && attached.attachment.hangs && pulse.beats,
    close: async () => {
      const { attachment } = attached;
      try {
        return await exclusively(pid, async () => {
          if (attachment.control.session !== 'none') {
            await attachment.commandIfThere(Command.endSession);
          }
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
