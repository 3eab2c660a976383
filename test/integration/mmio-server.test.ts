import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { MmioServer } from '../../attacher/virtio/mmio/mmio-server.js';
import type { MmioDisk, MmioOptions } from '../../attacher/virtio/mmio/worker-protocol.js';
import {
  builtServer,
  compileGuest,
  guestDirectory,
  GuestProcess,
  positionImage,
  type GuestWork,
} from '../support/mmio-guest.js';

const serverModule = fileURLToPath(
  new URL('../../dist/attacher/virtio/mmio/mmio-server.js', import.meta.url),
);
const blocks = 4096;
const work = { depth: 32, seconds: 3, blocks, blockBytes: 4096, writes: 0 };
const guests: GuestProcess[] = [];
let Server: typeof MmioServer;
let remove: () => void;
beforeAll(async () => {
  remove = compileGuest();
  Server = await builtServer();
});
afterAll(() => remove());
afterEach(() => guests.splice(0).forEach((guest) => guest.close()));

function start(options: GuestWork): GuestProcess {
  const guest = new GuestProcess(options);
  guests.push(guest);
  return guest;
}

function disk(image: string, mode: 'read-only' | 'writable', preload = false): MmioDisk {
  return { image, mode, preload };
}

/** A server in a process of its own, to be killed; resolves when it serves. */
async function serveApart(options: MmioOptions): Promise<ChildProcess> {
  const { window, doorbells, interrupt, memory } = options;
  const [region] = memory.regions;
  const fds = [window.fd, doorbells.notify, doorbells.status, interrupt, region?.fd];
  const own = {
    ...options,
    window: { ...window, fd: 3 },
    doorbells: { notify: 4, status: 5 },
    interrupt: 6,
    memory: { ...memory, regions: [{ ...region, ...(region?.fd !== undefined && { fd: 7 }) }] },
  };
  const code = `import { MmioServer } from ${JSON.stringify(serverModule)};
    await MmioServer.start(JSON.parse(process.argv[2]), () => {});
    console.log('ready');`;
  const script = join(guestDirectory, 'serve.mjs');
  writeFileSync(script, code);
  const child = spawn(process.execPath, [script, JSON.stringify(own)], {
    stdio: ['ignore', 'pipe', 'inherit', ...fds.filter((fd) => fd !== undefined)],
  });
  if (child.stdout === null) throw new Error('no output');
  const [said] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit'),
  ])) as unknown[];
  if (String(said) !== 'ready\n') throw new Error(`the server ended: ${String(said)}`);
  return child;
}

describe.each([
  ['anonymous', false],
  ['shared', true],
] as const)('a guest with %s memory', (_name, shared) => {
  it.each([
    ['from the file', false],
    ['preloaded', true],
  ] as const)('reads %s at full speed, and is left alone after', async (_how, preload) => {
    const guest = start({ ...work, shared });
    const options = await guest.options();
    const image = disk(positionImage('read', blocks * 4096), 'read-only', preload);
    const log: string[] = [];
    const server = await Server.start({ ...options, disk: image, takeOver: false }, (line) =>
      log.push(line),
    );
    expect(server.facts).toMatchObject({
      size: blocks * 4096,
      readOnly: true,
      memory: shared ? 'mapped' : 'process',
    });
    const { operations } = await guest.run();
    expect(operations).toBeGreaterThan(70_000); // the index has gone around
    expect(await guest.ended()).toBe(0);
    const report = await server.ended;
    expect(report.reason).toBe('hypervisor gone');
    expect(report.statistics).toMatchObject({ reads: operations, failures: 0, violations: 0 });
    expect(log).toEqual(['queue of 128 set up', 'queue reset by the driver']);
  });

  it('writes and reads, through servers that are killed again and again', async () => {
    const guest = start({ ...work, seconds: 8, writes: 40, shared });
    const image = positionImage('written', blocks * 4096);
    const options = { ...(await guest.options()), disk: disk(image, 'writable') };
    let server = await serveApart({ ...options, takeOver: false });
    const result = guest.run();
    for (let n = 0; n < 8; n++) {
      await setTimeout(300 + n * 37);
      server.kill('SIGKILL');
      await once(server, 'exit');
      server = await serveApart({ ...options, takeOver: true });
    }
    const { operations } = await result;
    expect(operations).toBeGreaterThan(10_000);
    expect(await guest.ended()).toBe(0);
    await once(server, 'exit');
    expect(readFileSync(image)).toHaveLength(blocks * 4096);
  });
});

it('ends when told to, with what is under way finished, and another goes on', async () => {
  const guest = start({ ...work, shared: false });
  const options = await guest.options();
  const image = disk(positionImage('stopped', blocks * 4096), 'read-only');
  const log: string[] = [];
  const first = await Server.start({ ...options, disk: image, takeOver: false }, (line) =>
    log.push(line),
  );
  const result = guest.run();
  await setTimeout(500);
  first.stop();
  expect((await first.ended).reason).toBe('stopped');
  const second = await Server.start({ ...options, disk: image, takeOver: true }, (line) =>
    log.push(line),
  );
  const { operations } = await result;
  expect(await guest.ended()).toBe(0);
  await second.ended;
  expect(first.statistics().reads + second.statistics().reads).toBe(operations);
  expect(log[1]).toBe('queue of 128 taken over');
});

it('says so when the image is not there, or not the one that the guest knows', async () => {
  const guest = start({ ...work, shared: false });
  const options = await guest.options();
  const nowhere = disk('/nonexistent', 'read-only');
  await expect(
    Server.start({ ...options, disk: nowhere, takeOver: false }, () => undefined),
  ).rejects.toThrow('there is no file /nonexistent');
  const image = disk(positionImage('one', 8192), 'read-only');
  await expect(
    Server.start({ ...options, disk: image, takeOver: true }, () => undefined),
  ).rejects.toThrow('no disk in the guest to take over');
  const server = await Server.start({ ...options, disk: image, takeOver: false }, () => undefined);
  server.stop();
  await server.ended;
  const other = disk(positionImage('other', 16384), 'read-only');
  await expect(
    Server.start({ ...options, disk: other, takeOver: true }, () => undefined),
  ).rejects.toThrow('the guest knows a disk of 16 sectors, and this one has 32');
});
