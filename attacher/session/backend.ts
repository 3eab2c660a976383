import type { ModuleFile } from '../guest/session-frames.js';
import type { GuestChannel } from './guest-channel.js';

/** What is needed to open a session in a virtual machine. */
export interface OpenRequest {
  pid: number;
  id: string;
  /** The overlay's image file, by its absolute path. */
  image: string;
  cacheDirectory: string | undefined;
  /** A directory of kernel modules for the guest, of which those that are needed are loaded. */
  modules?: string | undefined;
  log: (line: string) => void;
}

/** Milliseconds: until all was worked out; while the machine stood; in the guest; from the start to here. */
export interface OpenTimes {
  prepare: number;
  stopped: number;
  guest: number;
  total: number;
}

/** A session in a guest, of whatever backend: stage 2 waits there for its settings. */
export interface OpenSession {
  /** The way in, for people. */
  backend: string;
  /** How the guest has the overlay: by our server, as a file of the hypervisor's, by our own device. */
  disk: 'vhost-user' | 'file' | 'virtio-mmio';
  /** Of the overlay's disk. */
  serial: string;
  channel: GuestChannel;
  /** Still to be loaded, by the settings. */
  modules: readonly ModuleFile[];
  times: OpenTimes;
  /** Whether guest and hypervisor are still those that were attached to. */
  isAlive: () => boolean;
  /** End it and take everything out of the guest. How long the machine stood in all, in milliseconds. */
  close: () => Promise<number>;
}
