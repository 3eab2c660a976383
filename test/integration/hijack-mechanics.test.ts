import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import {
  imageAddress,
  layoutArena,
  pageSize,
  rootEntry,
  windowAddress,
  writePageTables,
} from '../../attacher/hijack/arena.js';
import { findFreeEntry, readEntry, writeEntry } from '../../attacher/hijack/address-space.js';
import { enterStage, isAnyoneInside } from '../../attacher/hijack/enter-stage.js';
import { takeArenaOut } from '../../attacher/hijack/take-out.js';
import { createArena, createEvents, plugIn } from '../../attacher/hijack/resources.js';
import { HijackTarget } from '../../attacher/hijack/target.js';
import { PageTables } from '../../attacher/guest/index.js';
import { readGate } from '../../attacher/hijack/prepare.js';
import { openVirtualMachine } from '../../attacher/hypervisor/index.js';
import { closeDescriptor, readEvent } from '../../native/linux/event.js';
import { compileRawStage, compileRawVm, rawStage, RawVm } from '../support/raw-vm.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-raw-vm-'));
const program = compileRawVm(directory);
const stage = compileRawStage(directory);
const machines: RawVm[] = [];
afterEach(() => machines.splice(0).forEach((machine) => machine.kill()));
afterAll(() => rmSync(directory, { recursive: true }));

async function start(memory: 'shared' | 'anonymous', mode: 'sandbox' | 'plain'): Promise<RawVm> {
  const machine = new RawVm(program, memory, mode);
  machines.push(machine);
  while ((await machine.counts()).counter === 0) await sleep(10);
  return machine;
}

describe.each([
  ['shared', 'plain'],
  ['anonymous', 'sandbox'],
] as const)('a VM with %s memory, %s', (memory, mode) => {
  it('has a device that no exit reaches the hypervisor for, and nothing of it afterwards', async () => {
    const vm = await start(memory, mode);
    const before = vm.holdings();
    using machine = openVirtualMachine(vm.pid);
    using target = HijackTarget.of(machine);
    const registers = machine.anyRegisters();
    const free = findFreeEntry(machine.memory, PageTables.of(machine.memory, registers));
    const layout = layoutArena(pageSize);
    const request = {
      id: 'raw-test',
      owner: { pid: process.pid, started: '0' },
      image: 'none',
      layout,
      // The first is where the machine's own memory is: it must be passed over.
      guestAddresses: [0x100000, 0xe_0000_0000],
      virtualAddress: free.virtualAddress,
      takenSlots: [],
      lines: () => [6],
      deviceId: 0,
      gateCode: readGate(),
      onStep: () => undefined,
    };
    const { file, record } = await target.whileStopped((thread) =>
      createArena(target, thread, request),
    );
    const events = await target.whileStopped((thread) =>
      createEvents(target, thread, { file, record }, request.onStep),
    );
    await target.whileStopped((thread) =>
      plugIn(target, thread, { file, record, events }, request),
    );
    expect(record).toMatchObject({ guestAddress: 0xe_0000_0000, gsi: 6 });

    const place = { guestAddress: record.guestAddress, virtualAddress: free.virtualAddress };
    const base = imageAddress(place);
    // The raw stage reaches the window by the same page tables: the two pages after its own.
    const segments = [{ offset: 0, size: 3 * pageSize, writable: true, executable: true }];
    writePageTables(file.bytes, layout, place, segments, true);
    const view = new DataView(file.bytes.buffer, file.bytes.byteOffset);
    file.bytes.set(stage, layout.image);
    view.setBigUint64(layout.image + rawStage.window, base + 0x1fb0n, true);
    view.setUint32(layout.windowHead, 0x74726976, true);
    view.setUint32(layout.passivePage + 0x10, 1, true);
    expect(windowAddress(layout, place) % pageSize).toBe(0xfb0);

    writeEntry(machine.memory, free.address, rootEntry(place));
    const quiet = await vm.counts();
    await enterStage(target, {
      entry: base,
      entryAddress: free.address,
      setResume: (rip, flags) => {
        view.setBigUint64(layout.image + rawStage.resume, rip, true);
        view.setBigUint64(layout.image + rawStage.resume + 8, flags, true);
      },
      onStep: request.onStep,
    });
    while (view.getUint32(layout.image + rawStage.done, true) === 0) await sleep(1);
    expect(view.getUint32(layout.image + rawStage.magic, true)).toBe(0x74726976);
    expect(view.getUint32(layout.image + rawStage.status, true)).toBe(1);
    expect([events.notify, events.acknowledge, events.status].map(readEvent)).toEqual([
      1000n,
      1000n,
      1000n,
    ]);
    while (await isAnyoneInside(target, base, base + 4096n)) await sleep(1);
    const after = await vm.counts();
    expect(after.exits).toBe(quiet.exits);
    await sleep(20);
    expect((await vm.counts()).counter).toBeGreaterThan(after.counter);

    record.entryAddress = free.address;
    await takeArenaOut(target, { file, record }, request.onStep);
    expect(readEntry(machine.memory, free.address)).toBe(0n);
    for (const event of Object.values(events)) closeDescriptor(event);
    file[Symbol.dispose]();
    expect(vm.holdings()).toEqual(before);
    const end = await vm.counts();
    expect(end.exits).toBe(quiet.exits);
  });
});
