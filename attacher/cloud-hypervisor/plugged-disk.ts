import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { chooseSocketPlace, socketOf } from '../hot-plug/lent-socket.js';
import {
  serveAgain,
  serveImage,
  type ServedImage,
  type ServeImage,
} from '../hot-plug/served-image.js';
import { Refusal } from '../refusal.js';
import { NoAnswer, type CloudHypervisorApi, type DiskConfig, type VmInfo } from './api.js';
import { apiSessions, dropApiRecord, writeApiRecord, type ApiRecord } from './journal.js';

export interface DiskRequest {
  /** The hypervisor's process. */
  pid: number;
  id: string;
  /** By its absolute path. */
  image: string;
  serial: string;
  log: (line: string) => void;
  serve?: ServeImage;
}

/** How the guest would get the disk. */
export type DiskWay = 'vhost-user' | 'file';

/** How long a guest may take to let go of a disk, and how often that is looked at, in milliseconds. */
const ejectPatience = 20_000;
const ejectInterval = 50;

/** How a disk would be given to this machine: ours to serve where its memory is shared. Refused where none can be. */
export async function diskWayOf(api: CloudHypervisorApi): Promise<DiskWay> {
  const info = await refusing(async () => {
    await api.ping();
    return api.info();
  });
  if (info?.state === 'Running') return isMemoryShared(info) ? 'vhost-user' : 'file';
  throw new Refusal(
    'paused',
    `the virtual machine is not running: ${info?.state ?? 'not created'}`,
  );
}

/** A disk that Cloud Hypervisor gave its guest when it was asked to. */
export class PluggedDisk {
  constructor(
    readonly api: CloudHypervisorApi,
    readonly record: ApiRecord,
    readonly way: DiskWay,
    readonly served: ServedImage | undefined,
    readonly patience = ejectPatience,
  ) {}

  /** Whether the hypervisor is still there. */
  get isThere(): boolean {
    return isThere(this.record);
  }

  /** Take it away. Throws DebloatError where the guest keeps it: then it can be recovered. */
  async unplug(): Promise<void> {
    try {
      if (this.isThere) await eject(this.api, this.record.device, this.patience);
    } catch (error) {
      if (this.isThere) throw error;
    } finally {
      await this.served?.stop();
    }
    dropApiRecord(this.record);
  }
}

/** Give a guest a disk. Refused, and nothing is left, where the hypervisor does not. */
export async function plugByApi(
  api: CloudHypervisorApi,
  request: DiskRequest,
  patience = ejectPatience,
): Promise<PluggedDisk> {
  const { pid, id, image, serial, log, serve = serveImage } = request;
  const started = startTimeOf(pid);
  if (started === undefined) throw new Refusal('not-found', `there is no process ${pid}`);
  if (apiSessions().some(({ record }) => record.id === id)) {
    throw new DebloatError(`There is a session "${id}" already.`, { hint: `debloat detach ${id}` });
  }
  const way = await diskWayOf(api);
  const place = way === 'vhost-user' ? chooseSocketPlace(pid) : undefined;
  const record: ApiRecord = {
    ...{ version: 1, id, image, serial, api: api.socket, device: `debloat-${id}` },
    owner: { pid: process.pid, started: startTimeOf(process.pid) ?? '' },
    machine: { pid, started },
    ...(place && { socket: place }),
  };
  writeApiRecord(record);
  let served: ServedImage | undefined;
  try {
    if (place) served = await serve({ pid, place, image, serial, log });
    await api.addDisk(diskOf(record));
  } catch (error) {
    await served?.stop();
    // It may still be at it, and give the guest a disk that nobody serves.
    if (error instanceof NoAnswer && isThere(record)) await ejectLate(api, record, patience);
    dropApiRecord(record);
    throw asRefusal(error);
  }
  return new PluggedDisk(api, record, way, served, patience);
}

/** Take out what a killed session left. Throws DebloatError where the guest does not let go; the record stays. */
export async function recoverApiSession(
  api: CloudHypervisorApi,
  record: ApiRecord,
  { again = serveAgain, patience = ejectPatience } = {},
): Promise<void> {
  const { machine, socket: place, image, serial, device } = record;
  const served =
    place && (await again({ pid: machine.pid, place, image, serial, log: () => undefined }));
  try {
    await eject(api, device, patience);
  } finally {
    await served?.stop();
  }
  dropApiRecord(record);
}

function diskOf({ device: id, socket, image: path, serial }: ApiRecord): DiskConfig {
  if (socket === undefined) return { id, readonly: true, path, serial };
  const served = { vhost_user: true, vhost_socket: socketOf(socket).seen } as const;
  return { id, readonly: true, ...served, num_queues: 1, queue_size: 128 };
}

/** Have the guest let go of a device; one that is not there is no error. */
async function eject(api: CloudHypervisorApi, id: string, patience: number): Promise<void> {
  if (!hasDevice(await api.info(), id)) return;
  await api.removeDevice(id);
  const end = performance.now() + patience;
  while (hasDevice(await api.info(), id)) {
    if (performance.now() > end) {
      throw new DebloatError('The guest does not let go of the disk.', {
        hint: `something there still uses it; later: ch-remote --api-socket ${api.socket} remove-device ${id}`,
      });
    }
    await sleep(ejectInterval);
  }
}

async function ejectLate(
  api: CloudHypervisorApi,
  { id, device }: ApiRecord,
  patience: number,
): Promise<void> {
  try {
    await eject(api, device, patience);
  } catch (error) {
    throw new DebloatError(`It is not known whether the guest got the disk: ${messageOf(error)}`, {
      hint: `when Cloud Hypervisor answers again: debloat detach ${id}`,
      cause: error,
    });
  }
}

function hasDevice(info: VmInfo | undefined, id: string): boolean {
  if (info?.device_tree) return Object.hasOwn(info.device_tree, id);
  return (info?.config.disks ?? []).some((disk) => disk.id === id);
}

/** `--memory shared=on`, or each of its zones so. */
function isMemoryShared({ config: { memory } }: VmInfo): boolean {
  if (memory?.shared === true) return true;
  const zones = memory?.zones ?? [];
  return memory?.size === 0 && zones.length > 0 && zones.every(({ shared }) => shared === true);
}

function isThere({ machine }: ApiRecord): boolean {
  return startTimeOf(machine.pid) === machine.started;
}

async function refusing<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw asRefusal(error);
  }
}

/** What is said by this way is the reason to try another. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof DebloatError) || error instanceof Refusal) return error;
  const { message, hint } = error;
  const reason = hint === undefined ? message : `${message} (${hint})`;
  return new Refusal('not-found', reason, { cause: error });
}
