import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cached, inTestCache } from './cache.js';
import { machineArguments, type Machine } from './machine.js';
import { Qemu } from './qemu.js';

/** States kept, of less than 100 MB each; the least recently used are removed. */
const kept = 32;

/** The file with the state of `machine` when it has booted under TCG and is blocked in pause(), made if need be. */
export async function savedState(
  program: string,
  machine: Machine,
  directory: string,
): Promise<string> {
  const key = createHash('sha256')
    .update(JSON.stringify([qemuVersion(program), { ...machine, initramfs: '', kernel: '' }]))
    .update(readFileSync(machine.initramfs))
    .update(readFileSync(join(dirname(machine.kernel), 'version')))
    .digest('hex');
  const states = inTestCache('guest-states');
  mkdirSync(states, { recursive: true });
  const file = await cached(join(states, key.slice(0, 32)), async (temporary) => {
    removeOldest(states);
    await bootAndSave(program, machine, directory, temporary);
  });
  utimesSync(file, new Date(), new Date());
  return file;
}

/** QEMU's argument that loads the state in `file`, which is also its file descriptor 3. */
export function incoming(program: string, file: string): string {
  // file: is new in 8.2 (docs/about/deprecated: fd: with a file, since 9.1), and 11 refuses fd: with a file.
  return Number(/version (\d+)/.exec(qemuVersion(program))?.[1]) < 9 ? 'fd:3' : `file:${file}`;
}

/** Wait until the incoming state is loaded, and have the guest go on: it is paused then, as it was when it was saved. */
export async function goOn(guest: Qemu): Promise<void> {
  const limit = Date.now() + 120_000;
  for (;;) {
    const { status } = (await guest.qmp('query-status')) as { status: string };
    if (status === 'paused') break;
    if (status !== 'inmigrate' || Date.now() > limit) throw new Error(`the guest is ${status}`);
    await sleep(50);
  }
  await guest.qmp('cont');
}

function qemuVersion(program: string): string {
  return execFileSync(program, ['--version'], { encoding: 'utf8' });
}

async function bootAndSave(
  program: string,
  machine: Machine,
  directory: string,
  file: string,
): Promise<void> {
  const guest = await Qemu.start({
    program,
    directory,
    name: 'boot',
    arguments: machineArguments(machine, { sharedMemory: false }, ',accel=tcg'),
  });
  try {
    await guest.printed(/^guest-ready$/m, 180);
    await sleep(1000); // for what the boot has deferred
    await guest.qmp('stop');
    await guest.qmp('migrate', { uri: `exec:cat > '${file}'` });
    for (;;) {
      const { status } = (await guest.qmp('query-migrate')) as { status?: string };
      if (status === 'completed') return;
      if (status === 'failed') throw new Error("the guest's state cannot be saved");
      await sleep(50);
    }
  } finally {
    await guest.stop();
  }
}

function removeOldest(directory: string): void {
  const files = readdirSync(directory).map((name) => join(directory, name));
  const used = new Map(
    files.map((file) => [file, statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0]),
  );
  files
    .sort((a, b) => (used.get(b) ?? 0) - (used.get(a) ?? 0))
    .slice(kept - 1)
    .forEach((file) => rmSync(file, { force: true }));
}
