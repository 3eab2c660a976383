import type { BlockRequest } from '../block/request.js';

/** How transfers are carried out. */
export interface IoEngine {
  readonly name: 'io_uring' | 'positioned';
  /** Readable when transfers have completed; undefined if they always have once submitted. */
  readonly fd: number | undefined;

  /** Begin the step that `request` is set to. */
  start(request: BlockRequest): void;
  /** Hand what was started to the kernel; with `wait`, return only when something has completed. */
  submit(wait: boolean): void;
  /** Call back for each completed transfer: bytes transferred, or −errno. */
  complete(callback: (tag: number, result: number) => void): void;

  close(): void;
}

/** The most requests under way at once in a device. */
export const mostRequests = 256;
