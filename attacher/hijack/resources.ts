import { ftruncateSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { readEvent } from '../../native/linux/event.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { failedWith } from '../../native/linux/system-error.js';
import { sealAgainstShrinking } from '../../native/linux/memory-file.js';
import { layoutOfPages, pageSize, windowAddress, type ArenaLayout } from './arena.js';
import { ArenaFile } from './arena-file.js';
import { arenaName, eventMark } from './hypervisor-files.js';
import type { AttachRecord } from './journal.js';
import { VmCalls } from './kvm/vm-calls.js';
import type { StoppedThread } from './inject/stopped-thread.js';
import { Gate } from './inject/gate.js';
import { createEventIn, createMemoryFileIn, mapCodeIn, mapIn } from './system-calls.js';
import type { HijackTarget } from './target.js';

/** Registers whose writes ring: QueueNotify, InterruptACK, Status (VIRTIO 1.2, 4.2.4). */
export const doorbellOffsets = { notify: 0x50, acknowledge: 0x64, status: 0x70 };
export const doorbells = ['notify', 'acknowledge', 'status'] as const;
const eventNames = [...doorbells, 'interrupt'] as const;

export type EventName = (typeof eventNames)[number];

/** What has been put into a hypervisor, and our hands on it. */
export interface Resources {
  file: ArenaFile;
  record: AttachRecord;
  /** Our duplicates of the events. */
  events: Record<EventName, number>;
}

export interface ResourcesRequest {
  id: string;
  owner: AttachRecord['owner'];
  image: string;
  layout: ArenaLayout;
  /** Where the arena may lie in guest-physical memory, in the order to be tried. */
  guestAddresses: number[];
  virtualAddress: bigint;
  /** Slots and lines that other sessions have. */
  takenSlots: number[];
  /** Interrupt lines that may be used, in the order of preference, by the I/O APIC's table; none: the stage polls. */
  lines: (redirections: bigint[]) => number[];
  deviceId: number;
  /** The gate's instructions, at most a page; without them each call is made by ptrace. */
  gateCode?: Uint8Array | undefined;
  /** Told of each step before it is taken. */
  onStep: (step: string) => void;
}

/** Fields of a new record that are known only when the stage is linked for its place. */
const unknown = { control: 0, entry: '0', guest: 'untouched' as const };

/** Whose descriptors can be had, and who is given the gate. */
type Host = Pick<HijackTarget, 'take' | 'gate'>;

/** Make an arena's file in the hypervisor, ours too. The first step: there is no journal before it. */
export function createArena(
  target: Host,
  thread: StoppedThread,
  request: ResourcesRequest,
): { file: ArenaFile; record: AttachRecord } {
  const { id, owner, image, layout, virtualAddress, deviceId } = request;
  request.onStep('create the shared memory');
  const remote = createMemoryFileIn(thread, arenaName(id));
  request.onStep('size the shared memory');
  const fd = target.take(remote);
  ftruncateSync(fd, layout.fileSize);
  // Nobody can make our mapping, or the guest's, end in a bus error.
  sealAgainstShrinking(fd);
  const file = new ArenaFile(fd, layout.fileSize);
  const record: AttachRecord = {
    ...{ version: 1, id, owner, image, deviceId, ...unknown },
    ramPages: layout.ramPages,
    guestAddress: 0,
    virtualAddress: virtualAddress.toString(16),
    userAddress: 0,
  };
  file.journal.write(record);
  request.onStep('map the shared memory');
  record.userAddress = mapIn(thread, remote, layout.fileSize);
  file.journal.write(record);
  request.onStep('open the gate');
  if (request.gateCode) {
    target.gate = openGate(thread, file, remote, record.userAddress, layout, request.gateCode);
    if (target.gate) thread.passTo(target.gate);
  }
  return { file, record };
}

/** Put the gate's code into the arena, executable; undefined where the hypervisor may not have it so. */
function openGate(
  thread: StoppedThread,
  file: ArenaFile,
  fd: number,
  userAddress: number,
  layout: ArenaLayout,
  code: Uint8Array,
): Gate | undefined {
  file.bytes.set(code, layout.gateCode);
  try {
    mapCodeIn(thread, fd, layout.gateCode, userAddress + layout.gateCode);
  } catch (error) {
    if (!failedWith(error, 'EACCES', 'EPERM')) throw error;
    return undefined;
  }
  return gateOf(file, userAddress, layout);
}

/**
 * The gate that a session before us opened in the hypervisor; undefined where it did not come so far,
 * or its gate was another version's.
 */
export function findGate(
  pid: number,
  file: ArenaFile,
  { userAddress, ramPages }: AttachRecord,
  code: Uint8Array | undefined,
): Gate | undefined {
  const layout = layoutOfPages(ramPages);
  const address = userAddress + layout.gateCode;
  const isOpen = readMemoryMap(pid).some(
    ({ start, executable }) => executable && start === address,
  );
  const there = file.bytes.subarray(layout.gateCode, layout.gateCode + pageSize);
  return isOpen && code !== undefined && Buffer.from(code).equals(there.subarray(0, code.length))
    ? gateOf(file, userAddress, layout)
    : undefined;
}

/** The gate of an arena that the hypervisor has at `userAddress`. */
export function gateOf(
  file: ArenaFile,
  userAddress: number,
  { gatePage, gateCode }: ArenaLayout,
): Gate {
  return new Gate(
    file.bytes.subarray(gatePage, gatePage + pageSize),
    file.address + gatePage,
    userAddress + gatePage,
    userAddress + gateCode,
  );
}

/** Make the events, known by a mark until the journal has their numbers. */
export function createEvents(
  target: Host,
  thread: StoppedThread,
  { file, record }: { file: ArenaFile; record: AttachRecord },
  onStep: (step: string) => void,
): Record<EventName, number> {
  const mark = eventMark(record.id);
  const remote = { notify: 0, acknowledge: 0, status: 0, interrupt: 0 };
  for (const name of eventNames) {
    onStep(`create the event "${name}"`);
    remote[name] = createEventIn(thread, mark);
  }
  onStep('note the events');
  record.events = remote;
  file.journal.write(record);
  const local = { notify: 0, acknowledge: 0, status: 0, interrupt: 0 };
  for (const name of eventNames) readEvent((local[name] = target.take(remote[name])));
  return local;
}

/** Give the guest the memory and the registers, their doorbells and the interrupt. */
export function plugIn(
  target: HijackTarget,
  thread: StoppedThread,
  { file, record }: Resources,
  request: ResourcesRequest,
): void {
  const { layout, onStep } = request;
  const calls = new VmCalls(thread, target.vmFd);
  const { events } = record;
  if (events === undefined) throw new RangeError('the events come first');
  addMemory(calls, file, record, request);
  const window = windowAddress(layout, {
    guestAddress: record.guestAddress,
    virtualAddress: request.virtualAddress,
  });
  for (const name of doorbells) {
    onStep(`add the doorbell "${name}"`);
    calls.setDoorbell(window + doorbellOffsets[name], events[name], 'assign');
  }
  for (const line of request.lines(redirectionsOf(calls))) {
    onStep(`add the interrupt line ${line}`);
    record.gsi = line;
    file.journal.write(record);
    try {
      calls.setInterrupt(line, events.interrupt, 'assign');
      return;
    } catch (error) {
      if (!failedWith(error, 'EINVAL', 'EBUSY', 'ENOENT')) throw error;
      delete record.gsi;
      file.journal.write(record);
    }
  }
}

/** Empty where the I/O APIC is not in the kernel (split or no irqchip). */
function redirectionsOf(calls: VmCalls): bigint[] {
  try {
    return calls.redirections();
  } catch (error) {
    if (!failedWith(error, 'ENXIO', 'EINVAL')) throw error;
    return [];
  }
}

function addMemory(
  calls: VmCalls,
  file: ArenaFile,
  record: AttachRecord,
  request: ResourcesRequest,
): void {
  const { layout, onStep, takenSlots } = request;
  // Hypervisors number their slots from 0 upwards; ours are the last.
  const free: number[] = [];
  for (let slot = calls.memorySlots() - 1; free.length < 2 && slot >= 0; slot--) {
    if (!takenSlots.includes(slot)) free.push(slot);
  }
  const [ram, passive] = free;
  if (ram === undefined || passive === undefined) throw noRoom();
  record.slots = { ram, passive };
  const { userAddress } = record;
  for (const guestAddress of request.guestAddresses) {
    onStep(`add the memory at 0x${guestAddress.toString(16)}`);
    record.guestAddress = guestAddress;
    file.journal.write(record);
    try {
      calls.setMemorySlot({
        ...{ slot: ram, guestAddress, readOnly: false },
        size: layout.ramPages * pageSize,
        userAddress: userAddress + layout.ram,
      });
    } catch (error) {
      if (failedWith(error, 'EEXIST')) continue;
      throw error;
    }
    onStep('add the registers');
    calls.setMemorySlot({
      ...{ slot: passive, readOnly: true, size: pageSize },
      guestAddress: guestAddress + layout.ramPages * pageSize,
      userAddress: userAddress + layout.passivePage,
    });
    return;
  }
  throw noRoom();
}

function noRoom(): DebloatError {
  return new DebloatError('The virtual machine has no room for more memory.', {
    hint: 'end other sessions on it: debloat detach --all',
  });
}
