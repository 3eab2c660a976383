import { readFileSync } from 'node:fs';
import { tarOf } from './layout.js';
import { LayoutWriter, tagged } from './oci-layout.js';

/** An image of busybox alone, without /proc, /dev and /etc/hosts, that tells how it is run and ends with 7. */
export async function tellingImage(path: string): Promise<string> {
  const busybox = readFileSync('/bin/busybox');
  const tar = await tarOf([
    { name: 'bin/', type: 'directory', mode: 0o755 },
    { name: 'bin/busybox', mode: 0o755, content: busybox },
    { name: 'bin/sh', type: 'symlink', linkname: 'busybox' },
    { name: 'etc/', type: 'directory', mode: 0o755 },
    { name: 'etc/passwd', content: 'app:x:1234:1235::/home/app:/bin/sh\n' },
    { name: 'etc/group', content: 'app:x:1235:\ndisk:x:6:app\nextra:x:77:root,app\n' },
    { name: 'tell', mode: 0o755, content: tell },
  ]);
  const writer = new LayoutWriter(path);
  const config = {
    User: 'app',
    Env: ['PATH=/bin', 'GREETING=hello  world'],
    WorkingDir: '/made/for it',
    Entrypoint: ['/tell'],
    Cmd: ['a b', "c'd"],
    Volumes: { '/data': {} },
    StopSignal: 'SIGUSR1',
  };
  writer.index([tagged(writer.image([{ tar }], { config: { config } }), '1')]);
  return `oci:${path}:1`;
}

const tell = `#!/bin/sh
b=/bin/busybox
exec >/dev/stdout
echo "args <$1> <$2> $#; greeting $GREETING; home $HOME; in $PWD"
echo "ids $($b id -u) $($b id -g) $($b id -G | $b tr ' ' '\\n' | $b sort -n | $b tr '\\n' ' ')"
echo "name $($b hostname); $($b grep small /etc/hosts); $($b cat /etc/resolv.conf)"
echo "image $($b grep -o 'debloat.image=[^ ]*' /proc/cmdline)"
echo "mounts $($b awk '{printf "%s:%s ", $2, $3}' /proc/mounts)"
$b ls -ld /data /dev/fd /dev/pts/ptmx /dev/shm /.debloat
$b ip addr show dev lo | $b grep -o 'inet 127.0.0.1'
$b nc -l -p 80 -e /bin/busybox true & $b sleep 0.2; echo "listening $($b netstat -ltn | $b grep -c ':80 ')"
$b sh -c '$0 sleep 0.1 &' $b
$b sleep 1000 &
$b sleep 0.5
echo "zombies $($b ps -o stat | $b grep -c Z)"
exit 7
`;
