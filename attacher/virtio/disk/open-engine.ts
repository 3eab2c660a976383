import { CachedReads } from './cached-reads.js';
import type { Disk } from './disk.js';
import type { IoEngine } from './io-engine.js';
import { PositionedEngine } from './positioned-engine.js';
import { UringEngine } from './uring-engine.js';

/** The best that this kernel has for `disk`. */
export function openEngine(disk: Disk): IoEngine {
  return CachedReads.over(UringEngine.open() ?? new PositionedEngine(), disk.source);
}
