import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeModule } from '../../test/support/fake-module.js';
import type { GuestKernel } from '../guest/index.js';
import { moduleInfo } from './module-info.js';
import { modulesFor } from './modules-for.js';

const version = '6.1.0-50-amd64';
const vermagic = `${version} SMP preempt mod_unload modversions `;
/** A kernel whose memory is never looked at: it runs another release than the modules are for. */
const other = { version: '6.12.1' } as GuestKernel;

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'debloat-modules-'))));
afterEach(() => rmSync(directory, { recursive: true }));

function put(path: string, bytes: Uint8Array): string {
  const whole = join(directory, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, bytes);
  return whole;
}

describe('a module', () => {
  it('says what it depends on and which kernel it is for', () => {
    const bytes = fakeModule({
      depends: 'virtio,virtio-ring',
      softdep: 'pre: crc32c post: late',
      vermagic,
    });
    expect(moduleInfo(bytes, 'x.ko')).toEqual({
      ...{ depends: ['virtio', 'virtio_ring'], before: ['crc32c'], vermagic },
    });
  });

  it('is refused where it is cut short, or is none', () => {
    const bytes = fakeModule({ depends: '', vermagic });
    for (let length = 0; length < bytes.length; length += 7) {
      expect(() => moduleInfo(bytes.subarray(0, length), 'x.ko')).toThrow(
        /^x\.ko is no kernel module/,
      );
    }
    expect(() => moduleInfo(fakeModule({ depends: '' }), 'x.ko')).toThrow('which kernel it is for');
    const arm = Buffer.from(bytes);
    arm.writeUInt16LE(183, 18);
    expect(() => moduleInfo(arm, 'x.ko')).toThrow('not for x86-64');
  });
});

describe('modules for a kernel', () => {
  it('are refused by the first that is for another one', () => {
    put('kernel/a.ko', fakeModule({ depends: 'b', vermagic }));
    const b = put('kernel/b.ko', fakeModule({ depends: 'a', vermagic })); // a circle ends
    expect(() => modulesFor(directory, other, ['a'])).toThrow(
      `${b} is for Linux ${version}, but the guest runs Linux 6.12.1.`,
    );
  });

  it('are found by the list of depmod, packed in any way', () => {
    const plain = fakeModule({ depends: '', vermagic });
    put('6.12.1/kernel/a.ko', Buffer.from('not this one'));
    const a = put('6.12.1/updates/a.ko.gz', gzipSync(plain));
    put('6.12.1/modules.dep', Buffer.from('updates/a.ko.gz: kernel/b.ko\nkernel/gone.ko:\n'));
    expect(() => modulesFor(directory, other, ['a'])).toThrow(`${a} is for Linux ${version}`);
    for (const [program, end] of [
      ['xz', 'xz'],
      ['zstd', 'zst'],
    ] as const) {
      const path = put(`${end}/c.ko`, plain);
      execFileSync(program, ['-q', path]);
      rmSync(path, { force: true });
      expect(() => modulesFor(join(directory, end), other, ['c'])).toThrow(
        `c.ko.${end} is for Linux`,
      );
    }
  });

  it('are told of where none is there, or one is damaged', () => {
    expect(() => modulesFor(join(directory, 'no'), other, ['a'])).toThrow(/^There is no directory/);
    expect(() => modulesFor(directory, other, ['a'])).toThrow(/^There are no kernel modules in/);
    put('b.ko.gz', Buffer.from('no gzip'));
    expect(() => modulesFor(directory, other, ['a'])).toThrow('has none of the modules a.');
    expect(() => modulesFor(directory, other, ['b'])).toThrow(/b\.ko\.gz cannot be read/);
  });
});
