import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { closeDescriptor } from '../../native/linux/event.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { Mapping } from '../../native/linux/mapping.js';
import { createMemoryFile } from '../../native/linux/memory-file.js';
import { FileRegion } from '../guest/memory/file-region.js';
import { reach } from './guest-memory.js';
import { kindOf } from './kinds.js';
import { fileIdentity, openFiles, parseCall, parseStat, programName, threads } from './procfs.js';
import { descriptorRunBy, vcpuFiles } from './vcpu-threads.js';
import { openVirtualMachine } from './virtual-machine.js';

describe('what procfs tells', () => {
  it('of a thread whose name is made to confuse', () => {
    expect(parseStat('12 (a) R 1 (b) S 1 2 3 4 5 138412224 7 8')).toEqual({
      state: 'S',
      flags: 138412224,
    });
  });

  it('of a thread in a system call, running, or in none', () => {
    expect(parseCall('16 0xd 0xae80 0x0 0x5 0x5 0xff 0x7f29 0x7f29\n')).toEqual({
      number: 16,
      arguments: [13, 0xae80],
    });
    expect(parseCall('running\n')).toBeUndefined();
    expect(parseCall('-1 0x7f 0x7f\n')).toBeUndefined();
  });

  it('of ourselves', () => {
    expect(programName(process.pid)).toContain('node');
    expect(threads(process.pid).some(({ tid }) => tid === process.pid)).toBe(true);
    expect(openFiles(process.pid).length).toBeGreaterThan(2);
  });
});

describe('vCPUs', () => {
  it('are found among descriptors, each once, by number', () => {
    const targets = ['kvm-vm', 'kvm-vcpu:1', 'kvm-vcpu:0', '[eventfd]', 'kvm-vcpu:1'];
    const files = targets.map((name, n) => ({ fd: 10 + n, target: `anon_inode:${name}` }));
    expect(vcpuFiles(files)).toEqual([
      { index: 0, fd: 12, tid: 0 },
      { index: 1, fd: 11, tid: 0 },
    ]);
  });

  it('are run by threads in ioctl KVM_RUN', () => {
    const thread = { tid: 1, state: 'S', flags: 0 };
    expect(descriptorRunBy({ ...thread, call: parseCall('16 0xd 0xae80') })).toBe(13);
    expect(descriptorRunBy({ ...thread, call: parseCall('16 0xd 0xae81') })).toBeUndefined();
    expect(descriptorRunBy({ ...thread, call: undefined })).toBeUndefined();
  });
});

describe('hypervisors', () => {
  it.each([
    ['qemu-system-x86_64', 'QEMU'],
    ['qemu-kvm', 'QEMU'],
    ['firecracker-v1.7.0-x86_64', 'Firecracker'],
    ['cloud-hypervisor', 'Cloud Hypervisor'],
    ['crosvm', 'crosvm'],
    ['lkvm', 'kvmtool'],
    ['my-vmm', 'unknown hypervisor'],
  ])('%s is %s', (program, name) => expect(kindOf(program).name).toBe(name));

  it.each([
    [['-machine', 'q35,kernel-irqchip=split'], 'split'],
    [['-accel', 'kvm,kernel-irqchip=off'], 'hypervisor'],
    [['-M', 'pc'], 'kernel'],
  ])('tell of their interrupt controller: %j', (words, controller) => {
    expect(kindOf('qemu-system-x86_64').interruptController(words)).toBe(controller);
  });
});

describe('refusals', () => {
  it('name what the process is', () => {
    expect(() => openVirtualMachine(process.pid)).toThrow(/\(node\) runs no virtual machine/);
    expect(() => openVirtualMachine(2 ** 22 + 1)).toThrow(
      expect.objectContaining({ reason: 'not-found' }) as Error,
    );
  });
});

describe('memory of a process', () => {
  const size = 4 << 20;

  it('is mapped where it is shared, and copied where it is not', () => {
    const fd = createMemoryFile('guest', 2 * size);
    const shared = Mapping.ofFile(fd, { offset: size, length: size, writable: true });
    const own = Mapping.anonymous(size);
    const owner = {
      pid: process.pid,
      areas: readMemoryMap(process.pid),
      files: openFiles(process.pid),
    };
    for (const [mapping, kind] of [
      [shared, 'mapped'],
      [own, 'copied'],
    ] as const) {
      const access = reach(owner, {
        guestAddress: 0,
        userAddress: mapping.address + 4096,
        size: 8192,
      });
      expect(access.kind).toBe(kind);
      mapping.bytes(4096, 3).set([1, 2, 3]);
      const target = new Uint8Array(3);
      expect(access.read(0, target)).toBe(true);
      expect(target).toEqual(Uint8Array.of(1, 2, 3));
      expect(access.write(8189, Uint8Array.of(7, 8, 9))).toBe(true);
      expect(mapping.bytes(4096 + 8189, 3)).toEqual(Uint8Array.of(7, 8, 9));
      access.close();
      const file = new FileRegion(process.pid, mapping.address + 4096);
      expect(file.read(8189, target)).toBe(true);
      expect(target).toEqual(Uint8Array.of(7, 8, 9));
      expect(file.write(0, Uint8Array.of(4))).toBe(true);
      expect(mapping.bytes(4096, 1)).toEqual(Uint8Array.of(4));
      file.close();
    }
    shared.close();
    own.close();
    closeDescriptor(fd);
  });

  it('is in the file that the map names', () => {
    const directory = mkdtempSync(join(tmpdir(), 'debloat-identity-'));
    const fd = openSync(join(directory, 'file'), 'w');
    const { ino } = statSync(join(directory, 'file'));
    expect(fileIdentity(`/proc/self/fd/${fd}`)?.inode).toBe(ino);
    closeSync(fd);
    rmSync(directory, { recursive: true });
    expect(fileIdentity('/nowhere')).toBeUndefined();
  });
});
