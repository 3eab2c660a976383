import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DebloatError } from '../../analyzer/errors.js';
import { FakeCloudHypervisor, type FakeMachine } from '../../test/support/fake-cloud-hypervisor.js';
import { makeSocketPlace, socketOf } from '../hot-plug/lent-socket.js';
import type { ServeImage } from '../hot-plug/served-image.js';
import { Refusal } from '../refusal.js';
import { CloudHypervisorApi } from './api.js';
import { apiSessions } from './journal.js';
import { plugByApi, recoverApiSession } from './plugged-disk.js';

let directory: string;
let fake: FakeCloudHypervisor | undefined;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'debloat-ch-'))));
afterEach(() => {
  fake?.close();
  fake = undefined;
  rmSync(directory, { recursive: true });
});

/** Stands for our server: it answers the first question that is asked, with the read-only feature. */
const serve: ServeImage = async ({ place }) => {
  makeSocketPlace(place);
  const server = createServer((socket) => {
    socket
      .on('error', () => undefined)
      .once('data', () => {
        const reply = Buffer.alloc(20);
        reply.writeBigUInt64LE(1n << 5n, 12);
        socket.end(reply);
      });
  });
  server.listen(socketOf(place).path);
  await once(server, 'listening');
  return {
    connects: () => Promise.resolve(true),
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
};

const mine = () => apiSessions().filter(({ record }) => record.owner.pid === process.pid);

/** A machine whose API behaves so, and a client that waits for it; not for long where it is known to hang. */
async function machine(options: FakeMachine) {
  const path = join(directory, 'api');
  const own = (fake = await FakeCloudHypervisor.start(path, options));
  const api = new CloudHypervisorApi(path, options.hangs ? 1000 : 20_000);
  const request = {
    ...{ pid: process.pid, id: `test-${process.pid}`, image: '/image', serial: 'image', serve },
    log: () => undefined,
  };
  return { own, plug: () => plugByApi(api, request, options.keeps ? 300 : 20_000), api };
}

describe('a disk by Cloud Hypervisor’s API', () => {
  it('is served where memory is shared, and gone when the guest has let go of it', async () => {
    const { own, plug } = await machine({ memory: { shared: true } });
    const disk = await plug();
    expect(disk.way).toBe('vhost-user');
    expect(own.offered).toEqual([1n << 5n]);
    expect(own.disks).toEqual([
      {
        ...{ id: `debloat-test-${process.pid}`, readonly: true, vhost_user: true },
        ...{ num_queues: 1, queue_size: 128 },
        vhost_socket: expect.stringMatching(/\/debloat-disk-[0-9a-f]{12}\/disk$/) as string,
      },
    ]);
    const [session] = mine();
    expect(session?.alive).toBe(true);
    await disk.unplug();
    expect(own.disks).toEqual([]);
    expect(mine()).toEqual([]);
    expect(existsSync(session?.record.socket?.directory ?? '/')).toBe(false);
  });

  const memories: [string, object, string][] = [
    ['private memory', {}, 'file'],
    ['shared zones', { size: 0, zones: [{ shared: true }, { shared: true }] }, 'vhost-user'],
    ['a private zone', { size: 0, zones: [{ shared: true }, { shared: false }] }, 'file'],
  ];
  it.each(memories)('goes the right way with %s', async (_, memory, way) => {
    const { own, plug } = await machine({ memory });
    const disk = await plug();
    expect(disk.way).toBe(way);
    expect(own.disks[0]?.path).toBe(way === 'file' ? '/image' : undefined);
    expect(own.disks[0]?.readonly).toBe(true);
    await disk.unplug();
    expect(own.disks).toEqual([]);
  });

  const json = (...messages: string[]) => JSON.stringify(messages);
  const refusals: [string, FakeMachine & { state?: undefined }, RegExp][] = [
    [
      'an error with its causes',
      { refuses: { 'vm.add-disk': { status: 500, body: json('Error from API', 'No space') } } },
      /refused vm\.add-disk: Error from API: No space$/,
    ],
    [
      'an error as older versions tell it',
      { refuses: { 'vm.add-disk': { status: 500, body: 'ApiError(VmAddDisk(\nDiskLocked))' } } },
      /refused vm\.add-disk: ApiError\(VmAddDisk\( DiskLocked\)\)$/,
    ],
    [
      'an error without a word',
      { refuses: { 'vm.add-disk': { status: 400, body: '' } } },
      /refused vm\.add-disk: status 400$/,
    ],
    ['a server of something else', { refuses: { 'vmm.ping': { status: 404, body: '' } } }, /404/],
    [
      'an answer that is none',
      { refuses: { 'vm.info': { status: 200, body: '<html>' } } },
      /what we do not understand/,
    ],
    [
      'a server that hangs',
      { hangs: ['vmm.ping'] },
      /does not answer \(vmm\.ping\).*not within 1 s/,
    ],
  ];
  it.each(refusals)('is refused for %s, and nothing is left', async (_, options, sentence) => {
    const { own, plug } = await machine({ memory: { shared: true }, ...options });
    const error = await plug().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).message).toMatch(sentence);
    expect(own.disks).toEqual([]);
    expect(mine()).toEqual([]);
  });

  const states: [string, FakeMachine['state'], RegExp][] = [
    ['paused', 'Paused', /not running: Paused/],
    ['not created', undefined, /not running: not created/],
  ];
  it.each(states)('is refused for a machine that is %s', async (_, state, sentence) => {
    const { own, plug } = await machine({});
    Object.assign(own.machine, { state });
    await expect(plug()).rejects.toThrow(sentence);
    expect(own.calls.some((call) => call.includes('add-disk'))).toBe(false);
  });

  it('is refused where nobody listens', async () => {
    const api = new CloudHypervisorApi(join(directory, 'nothing'));
    await expect(api.ping()).rejects.toThrow(/does not answer/);
    const long = new CloudHypervisorApi(join(directory, 'x'.repeat(200)));
    await expect(long.ping()).rejects.toThrow(/does not answer/);
  });

  it('that was perhaps added is taken away again', async () => {
    const { own, plug } = await machine({ hangs: ['vm.add-disk'] });
    own.disks.push({ id: `debloat-test-${process.pid}` });
    await expect(plug()).rejects.toThrow(/does not answer \(vm\.add-disk\)/);
    expect(own.disks).toEqual([]);
    expect(mine()).toEqual([]);
  });

  it('stays noted where the guest keeps it, and can be taken out later', async () => {
    const { own, plug, api } = await machine({ memory: { shared: true }, keeps: true });
    const disk = await plug();
    const error = await disk.unplug().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DebloatError);
    expect((error as DebloatError).message).toMatch(/does not let go/);
    const [session] = mine();
    if (session === undefined) throw new Error('it is not noted any more');
    own.machine.keeps = false;
    await recoverApiSession(api, session.record, { again: serve });
    expect(own.disks).toEqual([]);
    expect(mine()).toEqual([]);
  });

  it('stays noted where it is not known whether there is one', async () => {
    const { own, plug, api } = await machine({ hangs: ['vm.add-disk'] });
    own.once('vm.add-disk', () => own.machine.hangs?.push('vm.info'));
    const error = await plug().catch((reason: unknown) => reason);
    expect(error).not.toBeInstanceOf(Refusal);
    expect((error as DebloatError).message).toMatch(/not known whether the guest got the disk/);
    expect((error as DebloatError).hint).toContain(`debloat detach test-${process.pid}`);
    own.machine.hangs = [];
    const [session] = mine();
    if (session === undefined) throw new Error('it is not noted any more');
    await recoverApiSession(api, session.record, { again: serve });
    expect(mine()).toEqual([]);
  });
});
