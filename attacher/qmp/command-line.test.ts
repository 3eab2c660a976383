import { expect, it } from 'vitest';
import { listenersOf } from './command-line.js';

it('finds monitors and stub in a command line, with paths of the hypervisor’s directory', () => {
  const line =
    'qemu -qmp unix:a/qmp,server=on,wait=off -gdb tcp::1234 -chardev socket,id=m,path=/run/m,server=on ' +
    '-mon chardev=m,mode=control -mon chardev=other,mode=readline -qmp stdio';
  expect(listenersOf(line.split(' '), '/vm')).toEqual({
    monitors: [{ path: '/vm/a/qmp' }, { path: '/run/m' }],
    stub: { host: '127.0.0.1', port: 1234 },
  });
  expect(listenersOf(['qemu', '-s'], '/').stub).toEqual({ host: '127.0.0.1', port: 1234 });
  expect(listenersOf(['qemu'], '/')).toEqual({ monitors: [], stub: undefined });
});
