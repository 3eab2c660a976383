import { readFileSync } from 'node:fs';
import { processId } from './integers.js';

/** One mapping of a process: a line of /proc/PID/maps (proc(5)). Addresses are below 2^47. */
export interface MemoryArea {
  start: number;
  end: number;
  readable: boolean;
  writable: boolean;
  executable: boolean;
  shared: boolean;
  /** Offset in the file. */
  offset: number;
  device: string;
  inode: number;
  /** Path of the file as the kernel writes it, a name in brackets, or nothing. */
  name: string;
}

/** The mappings of process `pid`, by address. Throws as node:fs does: EACCES, ENOENT. */
export function readMemoryMap(pid: number): MemoryArea[] {
  return parseMemoryMap(readFileSync(`/proc/${processId(pid)}/maps`, 'utf8'));
}

/** The lines of a `maps` file. Those in the kernel's half (vsyscall) are left out. */
export function parseMemoryMap(text: string): MemoryArea[] {
  const line = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([sp]) ([0-9a-f]+) (\S+) (\d+) *(.*)$/gm;
  const areas: MemoryArea[] = [];
  for (const match of text.matchAll(line)) {
    const [, start = '', end = '', r, w, x, s, offset = '', device = '', inode = '', name = ''] =
      match;
    if (start.length > 12) continue;
    areas.push({
      start: parseInt(start, 16),
      end: parseInt(end, 16),
      readable: r === 'r',
      writable: w === 'w',
      executable: x === 'x',
      shared: s === 's',
      offset: parseInt(offset, 16),
      device,
      inode: Number(inode),
      name,
    });
  }
  return areas;
}
