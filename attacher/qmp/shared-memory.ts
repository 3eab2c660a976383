import { MonitorError, type Monitor } from './monitor.js';

/** A part of the guest's memory, as `query-memdev` tells (qapi/machine.json); older QEMUs tell less. */
interface MemoryDevice {
  id?: string;
  share?: boolean;
}

/** Those that are in a file, which can be handed on. */
const fileBackends = /^memory-backend-(memfd|file|shm)$/;

/** Whether a server of ours can be given all of the guest's memory (vhost-user): by what the monitor says. */
export async function isMemoryShared(monitor: Monitor): Promise<boolean> {
  try {
    const devices = (await monitor.execute('query-memdev')) as MemoryDevice[];
    for (const { id, share } of devices) {
      if (share !== true || id === undefined) return false;
      const path = `/objects/${id}`;
      const type = await monitor.execute('qom-get', { path, property: 'type' });
      if (!fileBackends.test(String(type))) return false;
    }
    return devices.length > 0;
  } catch (error) {
    if (error instanceof MonitorError) return false;
    throw error;
  }
}
