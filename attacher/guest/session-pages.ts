import { ringBytes } from './byte-ring.js';
import type { Segment } from './linker/layout.js';

const pageSize = 4096;

/** Where the parts of a session are, in bytes from its first page: stage 2, the rings, the paths to try. */
export interface SessionPages {
  /** Of all, in whole pages. */
  readonly size: number;
  readonly program: number;
  readonly toGuest: number;
  readonly fromGuest: number;
  /** Bytes of each ring's data: a power of two. */
  readonly ringSize: number;
  readonly paths: number;
}

const wholePages = (bytes: number) => Math.ceil(bytes / pageSize) * pageSize;

/** The pages for a program of so many bytes and rings of `ringSize` bytes. */
export function layoutSession(programSize: number, ringSize: number): SessionPages {
  const toGuest = wholePages(programSize);
  const fromGuest = toGuest + wholePages(ringBytes(ringSize));
  const paths = fromGuest + wholePages(ringBytes(ringSize));
  return { size: paths + pageSize, program: 0, toGuest, fromGuest, ringSize, paths };
}

/** As a part of the stage's image, after `imageSize` bytes of it: data, never executed by the kernel. */
export function sessionSegment(imageSize: number, { size }: SessionPages): Segment {
  return { offset: imageSize, size, writable: true, executable: false };
}
