import { expect, test } from 'vitest';
import { vmRequestFrom } from './vm-options.js';

test('a microVM is made when its directory is named', () => {
  expect(vmRequestFrom({})).toBeUndefined();
  expect(vmRequestFrom({ vm: 'out' })).toEqual({
    ...{ dir: 'out', root: 'squashfs', kernel: undefined, modules: undefined },
    freeSpace: 64_000_000,
  });
  const options = {
    vm: 'out',
    vmRoot: 'ext4',
    vmSpace: '1GiB',
    vmKernel: 'k',
    vmModules: 'm',
  } as const;
  expect(vmRequestFrom(options)).toEqual({
    ...{ dir: 'out', root: 'ext4', kernel: 'k', modules: 'm' },
    freeSpace: 2 ** 30,
  });
});

test.each([
  [{ vmKernel: 'k' }, '--vm-kernel needs --vm'],
  [{ vmRoot: 'ext4' }, '--vm-root needs --vm'],
  [{ vm: 'out', vmModules: 'm' }, '--vm-modules needs --vm-kernel'],
  [{ vm: 'out', vmSpace: '1MB' }, 'a squashfs root disk has no free space'],
  [{ vm: 'out', vmRoot: 'ext4', vmSpace: 'much' }, '"much" is not a size'],
] as const)('%o is a mistake', (options, message) => {
  expect(() => vmRequestFrom(options)).toThrow(message);
});
