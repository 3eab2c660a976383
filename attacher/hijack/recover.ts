import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { Command } from '../guest/stage-steps.js';
import type { VirtualMachine } from '../hypervisor/index.js';
import { serve } from './attach-disk.js';
import { Attachment } from './attachment.js';
import { arenaFiles } from './hypervisor-files.js';
import type { ArenaFile } from './arena-file.js';
import { gateSettles } from './inject/gate.js';
import type { AttachRecord } from './journal.js';
import { readGate } from './prepare.js';
import { findGate } from './resources.js';
import { openArena, sessionsIn } from './sessions.js';
import { closeArena, takeArenaOut } from './take-out.js';
import { HijackTarget } from './target.js';

export interface RecoverOptions {
  log: (line: string) => void;
  onStep?: (step: string) => void;
}

/**
 * Take what a session left behind out of a VM: its process was killed, at whatever step. While the
 * guest lets go of the disk, its requests are answered by errors. Throws DebloatError where the
 * session is alive, or the guest does not let go.
 */
export async function recoverSession(
  machine: VirtualMachine,
  id: string,
  options: RecoverOptions,
): Promise<void> {
  const onStep = options.onStep ?? (() => undefined);
  const session = sessionsIn(machine.pid).find((each) => each.id === id);
  if (session?.alive === true) {
    throw new DebloatError(
      `Session ${id} is alive: process ${session.record?.owner.pid} serves it.`,
      {
        hint: `debloat detach ${id}`,
      },
    );
  }
  using target = HijackTarget.of(machine);
  const fd = arenaFiles(machine.pid).find((each) => each.id === id)?.fd;
  const file = fd === undefined ? undefined : openArena(machine.pid, fd);
  const record = file?.journal.read();
  if (file === undefined || record === undefined) {
    file?.[Symbol.dispose]();
    await closeArena(target, id, file?.bytes.length ?? 0, onStep);
    return;
  }
  target.gate = findGate(machine.pid, file, record, readGate());
  if (target.gate) await sleep(gateSettles);
  const attachment = reopen(target, file, record, { ...options, onStep });
  if (attachment === undefined || !attachment.hangs) {
    // Nothing of ours runs in the guest: it was never begun, is over, or the guest was started anew.
    await takeArenaOut(target, { file, record }, onStep);
    attachment?.letGo();
    if (attachment === undefined) file[Symbol.dispose]();
    return;
  }
  await removeFrom(machine, attachment, options);
}

/** Our hands on a session of somebody who is gone; undefined where it has nothing that could run in the guest. */
function reopen(
  target: HijackTarget,
  file: ArenaFile,
  record: AttachRecord,
  options: Required<RecoverOptions>,
): Attachment | undefined {
  if (record.control === 0 || record.events === undefined) return undefined;
  const events = Object.fromEntries(
    Object.entries(record.events).map(([name, fd]) => [name, target.take(fd)]),
  );
  return new Attachment(target, file, record, events, options);
}

async function removeFrom(
  machine: VirtualMachine,
  attachment: Attachment,
  options: RecoverOptions,
): Promise<void> {
  const failed = { kind: 'failed' } as const;
  const server = await serve(machine, attachment, failed, { serial: '', log: options.log }, true);
  try {
    await attachment.settle();
    if (attachment.control.session !== 'none') {
      await attachment.commandIfThere(Command.endSession);
    }
    if (attachment.isInGuest) {
      attachment.note('removing');
      await attachment.commandIfThere(Command.removeDisk);
      attachment.note('removed');
    }
  } finally {
    server.stop();
    await server.ended;
  }
  await attachment.takeOut();
}
