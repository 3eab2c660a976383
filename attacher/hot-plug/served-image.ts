import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { Server } from '../virtio/server/server.js';
import {
  isSocketPlace,
  lendSocket,
  makeSocketPlace,
  socketOf,
  type SocketPlace,
} from './lent-socket.js';

/** What is served where. */
export interface ImageToServe {
  /** The hypervisor's process. */
  pid: number;
  place: SocketPlace;
  image: string;
  /** The disk's in the guest. */
  serial: string;
  log: (line: string) => void;
}

/** An image that is served to a hypervisor, read-only. */
export interface ServedImage {
  /** Whether the hypervisor connects within so many milliseconds, or has. */
  connects: (milliseconds: number) => Promise<boolean>;
  /** End; the socket is gone then, and its directory stays. */
  stop: () => Promise<void>;
}

export type ServeImage = (what: ImageToServe) => Promise<ServedImage>;

/** Serve an image by vhost-user, by a thread of its own. Throws DebloatError. */
export const serveImage: ServeImage = async ({ pid, place, image, serial, log }) => {
  makeSocketPlace(place);
  const server = await Server.start({
    disk: { image, mode: 'read-only', preload: false },
    socket: socketOf(place).path,
    ...{ queues: 1, id: serial },
    // Who comes and goes is nothing to tell of here; a queue that stopped is.
    log: (line) => line.startsWith('queue') && log(`the overlay’s disk: ${line}`),
  });
  const ended = server.ended.catch((error: unknown) =>
    log(`the overlay’s disk is served no more: ${messageOf(error)}`),
  );
  const stop = async () => {
    server.stop();
    await ended;
  };
  try {
    lendSocket(place, pid);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    connects: async (milliseconds) => {
      const end = performance.now() + milliseconds;
      while (server.statistics().connections === 0) {
        if (performance.now() > end) return false;
        await sleep(10);
      }
      return true;
    },
  };
};

/** How long a hypervisor may take to connect once more, which it tries every second, in milliseconds. */
const reconnectPatience = 5000;

/**
 * Serve again what a killed process served, so that the guest can end what it was reading, and let go
 * of the disk. Undefined where nothing was served, or it cannot be any more.
 */
export async function serveAgain(what: ImageToServe): Promise<ServedImage | undefined> {
  if (!isSocketPlace(what.place)) return undefined;
  try {
    const served = await serveImage(what);
    await served.connects(reconnectPatience);
    return served;
  } catch (error) {
    if (error instanceof DebloatError) return undefined;
    throw error;
  }
}
