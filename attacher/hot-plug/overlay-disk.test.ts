import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DebloatError } from '../../analyzer/errors.js';
import { fakeMonitor, type FakeAnswer, type FakeMonitor } from '../../test/support/fake-monitor.js';
import type { SocketPlace } from './lent-socket.js';
import { makeSocketPlace } from './lent-socket.js';
import { plugOverlay } from './overlay-disk.js';
import type { ServeImage } from './served-image.js';

let directory: string;
let monitor: FakeMonitor | undefined;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'debloat-overlay-disk-'))));
afterEach(() => {
  monitor?.close();
  rmSync(directory, { recursive: true });
});

interface Machine {
  /** What `query-memdev` answers, and the type of each of those. */
  memory?: unknown;
  type?: string;
  /** Commands that are refused. */
  refused?: Record<string, string>;
  /** Keys of `chardev-add` that it does not know. */
  unknown?: string[];
  /** Whether it connects to servers. */
  connects?: boolean;
  /** Whether its guest lets go of disks. */
  ejects?: boolean;
}

const unopened = { 'blockdev-add': 'Permission denied' };
const shared = [{ id: 'ram', size: 1, share: true }];

/** Plug a disk into a machine; what was noted, served and asked of the monitor meanwhile. */
async function plug(machine: Machine) {
  const { memory = shared, type = 'memory-backend-memfd', refused = {}, unknown = [] } = machine;
  const answer = (name: string, parameters: Record<string, unknown>): FakeAnswer => {
    const refusal = refused[name];
    if (refusal !== undefined) return { result: new Error(refusal) };
    if (name === 'query-memdev') return { result: memory };
    if (name === 'qom-get') return { result: type };
    if (name === 'query-pci') return { result: [] };
    const text = JSON.stringify(parameters);
    const odd = name === 'chardev-add' && unknown.find((key) => text.includes(`"${key}"`));
    if (odd) return { result: new Error(`Parameter 'backend.data.${odd}' is unexpected`) };
    if (name !== 'device_del' || machine.ejects === false) return { result: {} };
    return {
      result: {},
      events: [{ event: 'DEVICE_DELETED', data: { device: parameters['id'] } }],
    };
  };
  const fake = (monitor = await fakeMonitor(join(directory, 'qmp'), answer));
  const told = { notes: [] as (SocketPlace | undefined)[], log: [] as string[], serving: 0 };
  const serve: ServeImage = ({ place }) => {
    makeSocketPlace(place);
    told.serving++;
    return Promise.resolve({
      connects: () => Promise.resolve(machine.connects !== false),
      stop: () => {
        told.serving--;
        return Promise.resolve();
      },
    });
  };
  const plugged = plugOverlay({
    ...{ pid: process.pid, monitor: { path: fake.path }, name: 'debloat-x', serial: 'debloat-x' },
    ...{ image: '/overlay', log: (line) => told.log.push(line), serve },
    note: (place) => told.notes.push(place),
  });
  const names = () => fake.commands.map(({ name }) => name);
  return { plugged, told, names, commands: fake.commands };
}

describe('an overlay’s disk', () => {
  it('is a file where that can be opened, and nobody serves it', async () => {
    const { plugged, told, names } = await plug({});
    const disk = await plugged;
    expect(disk.way).toBe('file');
    expect(told).toEqual({ notes: [], log: [], serving: 0 });
    expect(names().slice(-3)).toEqual(['blockdev-add', 'query-pci', 'device_add']);
    await disk.unplug();
    expect(names().slice(-3)).toEqual(['device_del', 'blockdev-del', 'chardev-remove']);
  });

  it('is served to a machine that cannot open it, and leaves nothing', async () => {
    const { plugged, told, names, commands } = await plug({ refused: unopened });
    const disk = await plugged;
    expect(disk.way).toBe('vhost-user');
    const [place] = told.notes;
    expect(place).toBeDefined();
    expect(commands.find(({ name }) => name === 'chardev-add')?.parameters).toEqual({
      id: 'debloat-x',
      backend: {
        type: 'socket',
        data: {
          addr: { type: 'unix', data: { path: `${place?.seen ?? ''}/disk` } },
          ...{ server: false, reconnect: 1 },
        },
      },
    });
    expect(commands.at(-1)?.parameters).toMatchObject({
      ...{ driver: 'vhost-user-blk-pci', 'num-queues': 1 },
    });
    expect(existsSync(place?.directory ?? '')).toBe(true);
    await disk.unplug();
    expect(names().slice(-3)).toEqual(['device_del', 'blockdev-del', 'chardev-remove']);
    expect(told.serving).toBe(0);
    expect(existsSync(place?.directory ?? '')).toBe(false);
  });

  it('is connected to as newer QEMUs want it', async () => {
    const { plugged, commands } = await plug({ refused: unopened, unknown: ['reconnect'] });
    const disk = await plugged;
    expect(disk.way).toBe('vhost-user');
    const last = commands.findLast(({ name }) => name === 'chardev-add');
    expect(last?.parameters).toMatchObject({ backend: { data: { 'reconnect-ms': 1000 } } });
    await disk.unplug();
  });

  const notShared: [string, Machine][] = [
    ['private memory', { memory: [{ id: 'pc.ram', share: false }] }],
    ['one private part', { memory: [...shared, { id: 'more', share: false }] }],
    ['shared memory that is in no file', { type: 'memory-backend-ram' }],
    ['memory that nothing is told of', { memory: [] }],
    ['a monitor that tells no sharing', { memory: [{ id: 'ram' }] }],
    ['a monitor that tells no memory', { refused: { 'query-memdev': 'unknown command' } }],
  ];
  it.each(notShared)('cannot be served for %s', async (_, machine) => {
    const { plugged, told } = await plug({
      ...machine,
      refused: { ...unopened, ...machine.refused },
    });
    const error = await plugged.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DebloatError);
    expect((error as DebloatError).hint).toContain('memory is not shared');
    expect(told).toEqual({ notes: [], log: [], serving: 0 });
  });

  it('tells both reasons where neither can be had, and nothing is left', async () => {
    const { plugged, told, names } = await plug({ connects: false, refused: unopened });
    const error = await plugged.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DebloatError);
    const { message, hint } = error as DebloatError;
    expect(message).toContain('blockdev-add: Permission denied');
    expect(hint).toContain('does not reach our server');
    // No device is added without a server: the machine would stand.
    expect(names()).not.toContain('device_add');
    expect(names()).toContain('chardev-remove');
    expect(told.serving).toBe(0);
    expect(told.notes.at(-1)).toBeUndefined();
    expect(existsSync(told.notes[0]?.directory ?? '')).toBe(false);
  });
});
