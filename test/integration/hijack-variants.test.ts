import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { compileGuestProbe, GuestProbe, sumOf } from '../support/guest-probe.js';
import {
  canReserveHugePages,
  reserveHugePages,
  transparentHugeBytes,
} from '../support/huge-pages.js';
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
    'no line to be had, Linux 5.10: split interrupt controller',
    () => ({ suite: 'bullseye', irqchip: 'split' }),
    /the guest polls/,
  ],
  [
    'no line to be had, Linux 6.12',
    () => ({ suite: 'trixie', irqchip: 'split' }),
    /the guest polls/,
  ],
  ['the sandbox on, as libvirt has it', () => ({ sandbox: true })],
  ['QEMU 10', () => ({ qemu: debianQemu('trixie') })],
];

/** Fails unless a disk comes and goes; what its process says last. */
async function comesAndGoes(guest: KvmGuest, probe: GuestProbe): Promise<string> {
  const iomem = await probe.text('/proc/iomem');
  const before = holdingsOf(guest.pid);
  const session = await attachByCli(guest.pid, image.path, 'variant');
  expect(await probe.sum('/dev/vda')).toEqual(sumOf(image.bytes));
  const said = await session.detach();
  expect(said).toMatch(/^detached: \d+ reads, 0 writes, 0 failed/m);
  expect(await probe.text('/proc/iomem')).toBe(iomem);
  expect(holdingsOf(guest.pid)).toEqual(before);
  return said;
}

describe('a disk in a guest with', () => {
  it.each(variants)('%s', async (_, options, says) => {
    await withGuest(options(), async (guest, probe) => {
      expect(await comesAndGoes(guest, probe)).toMatch(says ?? '');
    });
  });

  it('anonymous memory that its host has in huge pages of its own accord', async () => {
    await withGuest({ sharedMemory: false }, async (guest, probe) => {
      const { pid } = guest;
      if (!/\[never\]/.test(readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8'))) {
        expect(transparentHugeBytes(pid)).toBeGreaterThan(2 ** 21);
      }
      await comesAndGoes(guest, probe);
    });
  });

  // Where they cannot be set aside, those that the kernel makes itself are all there are: above.
  const backends = canReserveHugePages ? [true, false] : [];
  it.each(backends)('memory of huge pages set aside, shared: %s', async (sharedMemory) => {
    using reserved = reserveHugePages(128 + 2);
    expect(reserved.pages).toBeGreaterThanOrEqual(130);
    await withGuest({ hugePages: true, sharedMemory }, async (guest, probe) => {
      await comesAndGoes(guest, probe);
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
