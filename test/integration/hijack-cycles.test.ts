import { execa } from 'execa';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { makeTestImage } from '../support/attached.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { compileGuestProbe, GuestProbe } from '../support/guest-probe.js';
import type { SessionSettings } from '../support/hijack-session.js';
import { compileRawControlStage, compileRawVm, holdingsOf, RawVm } from '../support/raw-vm.js';
import { startKvmGuest } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-cycles-'));
afterAll(() => rmSync(directory, { recursive: true }));
const image = makeTestImage(directory);
const program = fileURLToPath(new URL('../fixtures/hijack/cycles.js', import.meta.url));

/** Attach and detach up to `count` times; where each cycle put its things. */
async function cycle(settings: SessionSettings, limits: { count: number; seconds: number }) {
  const { stdout } = await execa(process.execPath, [
    program,
    JSON.stringify({ ...settings, ...limits }),
  ]);
  return stdout.split('\n').map((line) => JSON.parse(line) as { place: object; stopped: number });
}

/** Fails unless each found its slots, addresses, descriptors and lines free again. */
function expectSamePlaces(cycles: { place: object }[]): void {
  const [first] = cycles;
  for (const { place } of cycles) expect(place).toEqual(first?.place);
}

describe('attached and detached over and over', () => {
  it('a raw VM is as before after a hundred times', async () => {
    const vm = new RawVm(compileRawVm(directory), 'anonymous', 'sandbox');
    try {
      while ((await vm.counts()).counter === 0) await sleep(10);
      const [before, { exits }] = [vm.holdings(), await vm.counts()];
      const settings = { pid: vm.pid, image: image.path, id: 'cycle' };
      const rawStage = compileRawControlStage(directory);
      const cycles = await cycle({ ...settings, rawStage }, { count: 100, seconds: 200 });
      expect(cycles).toHaveLength(100);
      expectSamePlaces(cycles);
      expect(vm.holdings()).toEqual(before);
      expect((await vm.counts()).exits).toBe(exits);
    } finally {
      vm.kill();
    }
  });

  it('a Linux is as before, its memory too', async () => {
    const guest = await startKvmGuest({ suite: 'bookworm', directory });
    try {
      const { pid } = guest;
      const probe = await GuestProbe.insert(pid, compileGuestProbe(directory));
      const settings = { pid, image: image.path, id: 'cycle' };
      // Before it counts: a kernel keeps for the next disk what it has made for the first ones.
      await cycle(settings, { count: 6, seconds: 30 });
      const [before, guestBefore] = [holdingsOf(pid), await guestState(probe)];
      const cycles = await cycle(settings, { count: 100, seconds: 35 });
      expect(cycles.length).toBeGreaterThanOrEqual(5);
      expectSamePlaces(cycles);
      expect(holdingsOf(pid)).toEqual(before);
      const guestAfter = await guestState(probe);
      expect(guestAfter.iomem).toBe(guestBefore.iomem);
      expect(guestAfter.interrupts).toEqual(guestBefore.interrupts);
      // Not one page in each two cycles: a slab more or less is no leak.
      const lost = guestBefore.freePages - guestAfter.freePages;
      expect(lost).toBeLessThan(Math.max(4, cycles.length / 2));
      await probe.remove();
      expectNoComplaint(guest.console());
    } finally {
      await guest.stop();
    }
  });
});

/** What the guest's kernel has given away, and what it has left. */
async function guestState(probe: GuestProbe) {
  const iomem = await probe.text('/proc/iomem');
  const interrupts = await probe.text('/proc/interrupts');
  const zones = await probe.text('/proc/zoneinfo');
  // Free pages wait in the zones' lists, and in those of the processors (Documentation/mm/physical_memory.rst).
  const free = [...zones.matchAll(/^(?:\s+nr_free_pages|\s+count:)\s+(\d+)$/gm)];
  return {
    iomem,
    interrupts: interrupts.split('\n').map((line) => line.replace(/^(\s*\w+:)[\s\d]*/, '$1 ')),
    freePages: free.reduce((sum, [, pages]) => sum + Number(pages), 0),
  };
}
