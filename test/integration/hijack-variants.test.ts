import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { compileGuestProbe, GuestProbe, sumOf } from '../support/guest-probe.js';
import { holdingsOf } from '../support/raw-vm.js';
import { debianQemu } from '../vm/debian-qemu.js';
import { startKvmGuest, type KvmGuest, type KvmGuestOptions } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-variants-'));
afterAll(() => rmSync(directory, { recursive: true }));
const image = makeTestImage(directory);
const other = makeTestImage(mkdtempSync(join(directory, 'other-')), 5);
const probeObject = compileGuestProbe(directory);

async function withGuest(
  options: Partial<KvmGuestOptions>,
  act: (guest: KvmGuest, probe: GuestProbe) => Promise<void>,
): Promise<void> {
  const guest = await startKvmGuest({ suite: 'bookworm', directory, ...options });
  try {
    const probe = await GuestProbe.insert(guest.pid, probeObject);
    await act(guest, probe);
    await probe.remove();
    expectNoComplaint(guest.console());
  } finally {
    await guest.stop();
  }
}

const variants: [string, () => Partial<KvmGuestOptions>, RegExp?][] = [
  ['anonymous memory', () => ({ sharedMemory: false })],
  ['memory above 4 GiB, and the hole below it', () => ({ memory: 5120 })],
  ['q35, three processors', () => ({ machine: 'q35', cpus: 3 })],
  ['microvm with ACPI', () => ({ machine: 'microvm' })],
  ['microvm without ACPI', () => ({ machine: 'microvm,acpi=off' })],
  [
    'no line to be had: split interrupt controller',
    () => ({ irqchip: 'split' }),
    /the guest polls/,
  ],
  ['the sandbox on, as libvirt has it', () => ({ sandbox: true })],
  ['QEMU 10', () => ({ qemu: debianQemu('trixie') })],
];

describe('a disk in a guest with', () => {
  it.each(variants)('%s', async (_, options, says) => {
    await withGuest(options(), async (guest, probe) => {
      const iomem = await probe.text('/proc/iomem');
      const before = holdingsOf(guest.pid);
      const session = await attachByCli(guest.pid, image.path, 'variant');
      expect(await probe.sum('/dev/vda')).toEqual(sumOf(image.bytes));
      expect(await session.detach()).toMatch(says ?? /^detached: \d+ reads, 0 writes, 0 failed/m);
      expect(await probe.text('/proc/iomem')).toBe(iomem);
      expect(holdingsOf(guest.pid)).toEqual(before);
    });
  });
});

it('two disks at once in one guest come and go, each by itself', async () => {
  await withGuest({ cpus: 2 }, async (guest, probe) => {
    const before = holdingsOf(guest.pid);
    const [first, second] = await Promise.all([
      attachByCli(guest.pid, image.path, 'one', ['--serial', 'one']),
      attachByCli(guest.pid, other.path, 'two', ['--serial', 'two', '--cow']),
    ]);
    const sums = [await probe.sum('/dev/vda'), await probe.sum('/dev/vdb')];
    // Which of the two came first is theirs.
    expect(sums).toEqual(expect.arrayContaining([sumOf(image.bytes), sumOf(other.bytes)]));
    await Promise.all([first.detach(), second.detach()]);
    expect(holdingsOf(guest.pid)).toEqual(before);
  });
});
