import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { attachByCli, makeTestImage } from '../support/attached.js';
import { expectNoComplaint } from '../support/guest-health.js';
import { compileGuestProbe, GuestProbe, sumOf, written } from '../support/guest-probe.js';
import { holdingsOf } from '../support/raw-vm.js';
import { suites } from '../vm/kernel.js';
import { startKvmGuest } from '../vm/kvm-guest.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-hijack-'));
afterAll(() => rmSync(directory, { recursive: true }));
const image = makeTestImage(directory);
const probeObject = compileGuestProbe(directory);

describe.each(suites)('on the kernel of %s', (suite) => {
  it('is a disk that the guest’s own drivers read, mount and write', async () => {
    const guest = await startKvmGuest({ suite, directory });
    try {
      const { pid } = guest;
      const probe = await GuestProbe.insert(pid, probeObject);
      const iomem = await probe.text('/proc/iomem');
      expect(iomem).toContain('System RAM');
      const before = holdingsOf(pid);

      const session = await attachByCli(pid, image.path, 'read');
      const sectors = image.bytes.length / 512;
      await guest.printed(new RegExp(`\\[vda\\] ${sectors} 512-byte logical blocks`), 10);
      expect(await probe.sum('/dev/vda')).toEqual(sumOf(image.bytes));
      const mounted = await probe.sumMounted('/dev/vda', 'squashfs', image.file);
      expect(mounted).toEqual(sumOf(image.content));
      await expect(probe.write('/dev/vda', 0, 4096, 1n)).rejects.toThrow('EPERM');
      expect(await probe.text('/proc/iomem')).not.toBe(iomem);
      expect(await session.detach()).toMatch(/^detached: [1-9]\d* reads, 0 writes, 0 failed/m);
      await expect(probe.sum('/dev/vda')).rejects.toThrow('ENOENT');
      expect(await probe.text('/proc/iomem')).toBe(iomem);
      expect(holdingsOf(pid)).toEqual(before);

      const again = await attachByCli(pid, image.path, 'write', ['--cow']);
      await probe.write('/dev/vda', 4096, 8192, 7n);
      const changed = Buffer.from(image.bytes);
      changed.set(written(7n, 8192), 4096);
      expect(await probe.sum('/dev/vda')).toEqual(sumOf(changed));
      expect(await again.detach()).toMatch(/^detached: [1-9]\d* reads, [1-9]\d* writes, 0 failed/m);
      expect(readFileSync(image.path).equals(image.bytes)).toBe(true);
      expect(await probe.text('/proc/iomem')).toBe(iomem);

      await probe.remove();
      expectNoComplaint(guest.console());
    } finally {
      await guest.stop();
    }
  });
});
