import { DebloatError } from '../../analyzer/errors.js';
import { MonitorError, withMonitor, type Monitor, type MonitorAddress } from './monitor.js';

/** What a disk shows to the guest, and where its bytes are. */
export interface DiskToPlug {
  /** Names what is made in the hypervisor; letters, digits and -. */
  name: string;
  /** The disk's serial in the guest, up to 20 bytes. */
  serial: string;
  /** An image that the hypervisor opens itself (read-only), or the socket of our server. */
  source: { file: string } | ServedSource;
}

/** A vhost-user server of ours, for a machine whose memory is shared. */
export interface ServedSource {
  /** Its socket, by the hypervisor's paths. */
  socket: string;
  /** Whether the hypervisor has connected, or does so soon. */
  connected: () => Promise<boolean>;
}

/** How long a guest may take to let go of a disk, in milliseconds. */
const unplugPatience = 20_000;

/** Give the guest a disk. Throws DebloatError, and nothing is left then. */
export async function plugDisk(address: MonitorAddress, disk: DiskToPlug): Promise<void> {
  await withMonitor(address, async (monitor) => {
    await addBackend(monitor, disk);
    try {
      await addDevice(monitor, disk);
    } catch (error) {
      await removeBackend(monitor, disk.name);
      throw error;
    }
  });
}

/**
 * Take it away again; what is not there any more is no error. Throws DebloatError where the guest keeps
 * it: then it stays as it is.
 */
export async function unplugDisk(address: MonitorAddress, name: string): Promise<void> {
  await withMonitor(address, async (monitor) => {
    const removed = await attempt(monitor, 'device_del', { id: name });
    // A request under way is refused a second time (DeviceNotFound is another matter).
    if (removed && !(await monitor.event('DEVICE_DELETED', name, unplugPatience))) {
      if (await attempt(monitor, 'device_del', { id: name })) {
        if (!(await monitor.event('DEVICE_DELETED', name, unplugPatience))) {
          throw new DebloatError('The guest does not let go of the overlay’s disk.', {
            hint: `something there still uses it; later, in the monitor: device_del ${name}`,
          });
        }
      }
    }
    await removeBackend(monitor, name);
  });
}

async function addBackend(monitor: Monitor, { name, source }: DiskToPlug): Promise<void> {
  if ('socket' in source) {
    await addSocket(monitor, name, source);
    return;
  }
  await monitor.execute('blockdev-add', {
    driver: 'raw',
    'node-name': name,
    'read-only': true,
    file: { driver: 'file', filename: source.file, 'read-only': true },
  });
}

/**
 * A connection that is made once more whenever it is lost: what the guest was reading when we were
 * killed ends when the disk is served again.
 */
async function addSocket(monitor: Monitor, name: string, source: ServedSource): Promise<void> {
  const connect = (reconnect: object) =>
    monitor.execute('chardev-add', {
      id: name,
      backend: {
        type: 'socket',
        data: {
          ...{ addr: { type: 'unix', data: { path: source.socket } }, server: false },
          ...reconnect,
        },
      },
    });
  try {
    await connect({ reconnect: 1 });
  } catch (error) {
    if (!(error instanceof MonitorError) || !error.description.includes('reconnect')) throw error;
    await connect({ 'reconnect-ms': 1000 }); // since QEMU 9.2
  }
  // To add a device without a server would have the hypervisor wait for one, and its machine stand.
  if (await source.connected()) return;
  await removeBackend(monitor, name);
  throw new DebloatError('The hypervisor does not reach our server.', {
    hint: `it may not connect to ${source.socket}`,
  });
}

async function removeBackend(monitor: Monitor, name: string): Promise<void> {
  await attempt(monitor, 'blockdev-del', { 'node-name': name });
  await attempt(monitor, 'chardev-remove', { id: name });
}

/** On the machine's own bus, or where that takes nothing new (q35) on a free root port. */
async function addDevice(monitor: Monitor, { name, serial, source }: DiskToPlug): Promise<void> {
  const device =
    'socket' in source
      ? { driver: 'vhost-user-blk-pci', chardev: name, 'num-queues': 1 }
      : { driver: 'virtio-blk-pci', drive: name, serial };
  let first: unknown;
  for (const bus of [undefined, ...(await freePorts(monitor))]) {
    try {
      const place = bus === undefined ? {} : { bus };
      await monitor.execute('device_add', { ...device, id: name, ...place });
      return;
    } catch (error) {
      if (!(error instanceof MonitorError)) throw error;
      first ??= error;
    }
  }
  throw new DebloatError('The machine takes no disk while it runs.', {
    hint: `${first instanceof MonitorError ? first.description : ''}; a q35 machine needs a free pcie-root-port`,
    cause: first,
  });
}

interface PciDevice {
  qdev_id?: string;
  pci_bridge?: { devices?: unknown[] };
}

/** Names of bridges with nothing behind them. */
async function freePorts(monitor: Monitor): Promise<string[]> {
  try {
    const buses = (await monitor.execute('query-pci')) as { devices: PciDevice[] }[];
    return buses.flatMap(({ devices }) =>
      devices.flatMap(({ qdev_id: id, pci_bridge: bridge }) =>
        id !== undefined && id !== '' && bridge && (bridge.devices ?? []).length === 0 ? [id] : [],
      ),
    );
  } catch (error) {
    if (error instanceof MonitorError) return [];
    throw error;
  }
}

/** Whether the hypervisor did it. */
async function attempt(
  monitor: Monitor,
  command: string,
  parameters: Record<string, unknown>,
): Promise<boolean> {
  try {
    await monitor.execute(command, parameters);
    return true;
  } catch (error) {
    if (error instanceof MonitorError) return false;
    throw error;
  }
}
