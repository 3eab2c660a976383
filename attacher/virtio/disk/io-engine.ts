import type { Transfer } from '../block/request.js';

/** What a request's next step comes to, as much as an engine needs to know of it. */
export interface Step {
  readonly tag: number;
  readonly transfer: Transfer;
  readonly fd: number;
  readonly position: number;
  readonly stepLength: number;
  /** A write is to be on the medium before it is answered. */
  readonly durable: boolean;
  /** The buffers of the whole request, of which the first `done` bytes are dealt with. */
  readonly done: number;
  readonly segments: number;
  readonly hostAddresses: Float64Array;
  readonly lengths: Float64Array;
}

/** How transfers are carried out. */
export interface IoEngine {
  readonly name: 'io_uring' | 'positioned';
  /** Readable when transfers have completed; undefined if they always have once submitted. */
  readonly fd: number | undefined;

  /** The reads that were begun last wait for the medium. */
  readonly slow: boolean;

  /** Begin a step; it stays as it is until it has completed. */
  start(step: Step): void;
  /** Hand what was started to the kernel; with `wait`, return only when something has completed. */
  submit(wait: boolean): void;
  /** Call back for each completed transfer: bytes transferred, or −errno. */
  complete(callback: (tag: number, result: number) => void): void;

  close(): void;
}

/** The most requests under way at once in a device. */
export const mostRequests = 256;
