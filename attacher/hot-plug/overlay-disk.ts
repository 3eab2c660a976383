import { DebloatError } from '../../analyzer/errors.js';
import { plugDisk, unplugDisk } from '../qmp/hot-plug.js';
import { MonitorError, withMonitor, type MonitorAddress } from '../qmp/monitor.js';
import { isMemoryShared } from '../qmp/shared-memory.js';
import { chooseSocketPlace, removeSocketPlace, socketOf, type SocketPlace } from './lent-socket.js';
import { serveImage, type ServedImage, type ServeImage } from './served-image.js';

export interface OverlayToPlug {
  /** The hypervisor's process. */
  pid: number;
  monitor: MonitorAddress;
  /** Names what is made in the hypervisor. */
  name: string;
  serial: string;
  image: string;
  log: (line: string) => void;
  /** Told where a socket will be before it is made, and that there is none after all. */
  note: (place: SocketPlace | undefined) => void;
  serve?: ServeImage;
}

/** The overlay as a disk that a monitor put into a machine. */
export interface OverlayDisk {
  /** By our server, or as a file that the hypervisor opened. */
  way: 'vhost-user' | 'file';
  /** Take it away from the guest. Throws DebloatError where the guest keeps it: then it can be recovered. */
  unplug: () => Promise<void>;
  /** The machine is gone: let go of what is here. */
  abandon: () => Promise<void>;
  /** Serve it no more; all else stays for who recovers the session, and serves it again. */
  leave: () => Promise<void>;
}

/** How long a hypervisor may take to connect to our server, in milliseconds. */
const connectPatience = 3000;

/**
 * Give a guest the overlay: as a file where its hypervisor can open it, for then the guest's reads do
 * not need us; else by our server, where its memory is shared. Throws DebloatError, and nothing is left then.
 */
export async function plugOverlay(overlay: OverlayToPlug): Promise<OverlayDisk> {
  const { monitor, name, serial, image } = overlay;
  try {
    await plugDisk(monitor, { name, serial, source: { file: image } });
  } catch (error) {
    // It does not get at the file; what else is wrong has nothing to do with that.
    if (!(error instanceof MonitorError) || error.command !== 'blockdev-add') throw error;
    return plugUnopened(overlay, error);
  }
  return {
    way: 'file',
    unplug: () => unplugDisk(monitor, name),
    abandon: () => Promise.resolve(),
    leave: () => Promise.resolve(),
  };
}

/** The hypervisor does not open it (`refusal`): by our server, or the reasons of both are said. */
async function plugUnopened(overlay: OverlayToPlug, refusal: MonitorError): Promise<OverlayDisk> {
  const { monitor, log } = overlay;
  let reason = new DebloatError('the guest’s memory is not shared', {
    hint: 'qemu -object memory-backend-memfd,share=on,… -machine memory-backend=…',
  });
  try {
    if (await withMonitor(monitor, isMemoryShared)) {
      const disk = await plugServed(overlay);
      log(`the overlay’s disk is served by us, for ${sentence(refusal)}`);
      return disk;
    }
  } catch (error) {
    if (!(error instanceof DebloatError)) throw error;
    reason = error;
  }
  const hint = [refusal.hint, `nor by our server: ${sentence(reason)}`].filter(Boolean).join('; ');
  throw new DebloatError(refusal.message, { hint, cause: refusal });
}

async function plugServed(overlay: OverlayToPlug): Promise<OverlayDisk> {
  const { pid, monitor, name, serial, image, log, note, serve = serveImage } = overlay;
  const place = chooseSocketPlace(pid);
  note(place);
  let served: ServedImage | undefined;
  const leave = async () => served?.stop();
  const abandon = async () => {
    await leave();
    removeSocketPlace(place);
  };
  try {
    const server = (served = await serve({ pid, place, image, serial, log }));
    await plugDisk(monitor, {
      ...{ name, serial },
      source: { socket: socketOf(place).seen, connected: () => server.connects(connectPatience) },
    });
  } catch (error) {
    await abandon();
    note(undefined);
    throw error;
  }
  const unplug = async () => {
    try {
      await unplugDisk(monitor, name);
    } catch (error) {
      await leave(); // else our process could not end
      throw error;
    }
    await abandon();
  };
  return { way: 'vhost-user', unplug, abandon, leave };
}

function sentence({ message, hint }: DebloatError): string {
  return hint === undefined ? message : `${message} (${hint})`;
}
