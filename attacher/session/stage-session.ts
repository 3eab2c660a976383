import { randomBytes } from 'node:crypto';
import type { ArenaMemory } from '../guest/arena-memory.js';
import type { SessionPages } from '../guest/session-pages.js';
import type { SessionRequest } from '../guest/stage-control.js';

/**
 * Where stage 2's file may be made for a moment in a guest that has no /proc: file systems in memory
 * first. Stage 2 removes it before it does anything else.
 */
const places = ['/dev', '/run', '/tmp', '/var/tmp', ''];

/** Writes stage 2 and the paths for it into its pages; what stage 1 must be told then. */
export function writeSession(
  memory: ArenaMemory,
  start: number,
  pages: SessionPages,
  address: bigint,
  program: Uint8Array,
): SessionRequest {
  const name = randomBytes(10).toString('hex');
  const paths = places.map((place) => `${place}/.debloat-${name}`);
  const text = Buffer.from(paths.map((path) => `${path}\0`).join(''));
  memory.bytes.set(program, start + pages.program);
  memory.bytes.set(text, start + pages.paths);
  memory.push(start + pages.program, program.length);
  memory.push(start + pages.paths, text.length);
  return {
    program: address + BigInt(pages.program),
    programSize: program.length,
    toGuest: address + BigInt(pages.toGuest),
    fromGuest: address + BigInt(pages.fromGuest),
    paths: address + BigInt(pages.paths),
    pathCount: paths.length,
    socketName: randomBytes(10).toString('hex'),
  };
}
