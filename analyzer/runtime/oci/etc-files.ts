import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface EtcFiles {
  hosts: string;
  hostname: string;
  resolvConf: string;
}

/** Write what a container is to see as /etc/hosts, /etc/hostname and /etc/resolv.conf into `dir`. */
export async function writeEtcFiles(
  dir: string,
  hostname: string,
  address: string | undefined,
): Promise<EtcFiles> {
  const files = {
    hosts: join(dir, 'hosts'),
    hostname: join(dir, 'hostname'),
    resolvConf: join(dir, 'resolv.conf'),
  };
  await writeFile(files.hosts, hostsText(hostname, address), { mode: 0o644 });
  await writeFile(files.hostname, `${hostname}\n`, { mode: 0o644 });
  const resolvConf = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  await writeFile(files.resolvConf, resolvConf, { mode: 0o644 });
  return files;
}

function hostsText(hostname: string, address: string | undefined): string {
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    `${address ?? '127.0.0.1'}\t${hostname}`,
    '',
  ].join('\n');
}
