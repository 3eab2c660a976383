import { readEvent, writeEvent } from '../../native/linux/event.js';
import { failedWith } from '../../native/linux/system-error.js';
import { pageSize } from './arena.js';
import type { ArenaFile } from './arena-file.js';
import { eventMark } from './hypervisor-files.js';
import type { StoppedThread } from './inject/stopped-thread.js';
import type { AttachRecord } from './journal.js';
import { VmCalls } from './kvm/vm-calls.js';
import { doorbellOffsets, doorbells } from './resources.js';
import { closeIn } from './system-calls.js';
import type { HijackTarget } from './target.js';

/** Take everything out of the VM again, as far as it is there, and out of the hypervisor. */
export function withdraw(
  target: HijackTarget,
  thread: StoppedThread,
  { file, record }: { file: ArenaFile; record: AttachRecord },
  onStep: (step: string) => void,
): void {
  unplug(new VmCalls(thread, target.vmFd), record, onStep);
  closeEvents(target, thread, { file, record }, onStep);
}

/** Errors of taking away what is not there. */
function unlessAbsent(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!failedWith(error, 'ENOENT', 'EINVAL')) throw error;
  }
}

function unplug(calls: VmCalls, record: AttachRecord, onStep: (step: string) => void): void {
  const { events, gsi, slots, guestAddress, ramPages, userAddress } = record;
  if (events && gsi !== undefined) {
    onStep('take the interrupt line away');
    unlessAbsent(() => calls.setInterrupt(gsi, events.interrupt, 'deassign'));
  }
  if (slots === undefined) return;
  const passive = guestAddress + ramPages * pageSize;
  if (events) {
    for (const name of doorbells) {
      onStep(`take the doorbell "${name}" away`);
      const address = passive - 0x50 + doorbellOffsets[name];
      unlessAbsent(() => calls.setDoorbell(address, events[name], 'deassign'));
    }
  }
  for (const [slot, address] of [
    [slots.passive, passive],
    [slots.ram, guestAddress],
  ] as const) {
    onStep(`take the memory slot ${slot} away`);
    unlessAbsent(() =>
      calls.setMemorySlot({ slot, guestAddress: address, size: 0, userAddress, readOnly: false }),
    );
  }
}

function closeEvents(
  target: HijackTarget,
  thread: StoppedThread,
  { file, record }: { file: ArenaFile; record: AttachRecord },
  onStep: (step: string) => void,
): void {
  if (record.events === undefined) return;
  const numbers = Object.values(record.events);
  onStep('mark the events');
  // From here on they are known by their mark again: the numbers may soon be somebody else's.
  for (const fd of numbers) {
    const own = target.take(fd);
    readEvent(own);
    writeEvent(own, eventMark(record.id));
  }
  delete record.events;
  file.journal.write(record);
  for (const fd of numbers) {
    onStep(`close the event ${fd}`);
    closeIn(thread, fd);
  }
}
