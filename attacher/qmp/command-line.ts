import { resolve } from 'node:path';
import type { MonitorAddress } from './monitor.js';

/** What QEMU's command line (qemu(1)) tells of ways to talk to it. */
export interface Listeners {
  /** Monitors for programs, in their order. */
  monitors: MonitorAddress[];
  /** A gdb stub. */
  stub: MonitorAddress | undefined;
}

/** Find sockets in the words of a command line; paths are relative to `directory`. */
export function listenersOf(words: readonly string[], directory: string): Listeners {
  const monitors: MonitorAddress[] = [];
  const characterDevices = new Map<string, MonitorAddress>();
  const found: Listeners = { monitors, stub: undefined };
  const control: string[] = [];
  words.forEach((word, at) => {
    const value = words[at + 1] ?? '';
    const option = word.replace(/^--/, '-');
    if (option === '-qmp' || option === '-qmp-pretty') {
      const address = addressOf(value, directory);
      if (address) monitors.push(address);
    } else if (option === '-gdb') {
      found.stub = addressOf(value, directory);
    } else if (option === '-s') {
      found.stub = { host: '127.0.0.1', port: 1234 };
    } else if (option === '-chardev') {
      const { id, path, host = '127.0.0.1', port } = keysOf(value);
      if (id === undefined || !value.startsWith('socket')) return;
      if (path !== undefined) characterDevices.set(id, { path: resolve(directory, path) });
      else if (port !== undefined) characterDevices.set(id, { host, port: Number(port) });
    } else if (option === '-mon') {
      const { chardev, mode } = keysOf(value.includes('chardev=') ? value : `chardev=${value}`);
      if (mode === 'control' && chardev !== undefined) control.push(chardev);
    }
  });
  monitors.push(...control.flatMap((id) => characterDevices.get(id) ?? []));
  return found;
}

/** The name that QEMU was given (`-name web`, `-name guest=web,process=…`). */
export function machineName(words: readonly string[]): string | undefined {
  const at = words.findIndex((word) => /^--?name$/.test(word));
  const value = at < 0 ? '' : (words[at + 1] ?? '');
  const name = keysOf(value)['guest'] ?? /^[^,=]+(?=,|$)/.exec(value)?.[0];
  return name === '' ? undefined : name;
}

/** "unix:PATH,…" or "tcp:HOST:PORT,…". */
function addressOf(value: string, directory: string): MonitorAddress | undefined {
  const [place = ''] = value.split(',');
  const [, path] = /^unix:(.+)$/.exec(place) ?? [];
  if (path !== undefined) return { path: resolve(directory, path) };
  const [, host = '', port] = /^tcp:(.*):(\d+)$/.exec(place) ?? [];
  if (port === undefined) return undefined;
  const everywhere = host === '' || host === '0.0.0.0' || host === '::';
  return { host: everywhere ? '127.0.0.1' : host, port: Number(port) };
}

/** "a=b,c=d" as an object. */
function keysOf(value: string): Partial<Record<string, string>> {
  return Object.fromEntries(
    value.split(',').flatMap((part) => {
      const [, key, text] = /^([\w-]+)=(.*)$/.exec(part) ?? [];
      return key === undefined || text === undefined ? [] : [[key, text] as const];
    }),
  );
}
