import { accessSync, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { DebloatError, messageOf } from '../../../analyzer/errors.js';
import { failedWith } from '../../../native/linux/system-error.js';
import { sectorSize } from '../block/protocol.js';
import type { Disk } from './disk.js';
import { FileDisk } from './file-disk.js';
import { preloaded } from './preloaded.js';
import { SessionDisk } from './session-disk.js';
import { SessionFile } from './session-file.js';

/** How an image is to be served. */
export interface DiskOptions {
  image: string;
  mode: 'read-only' | 'writable' | 'session';
  /** Read the whole (read-only) image into memory first. */
  preload: boolean;
  /** Where a session is kept; else it vanishes with us. */
  sessionFile?: string | undefined;
}

/** What is served, for the user. */
export interface DiskFacts {
  size: number;
  readOnly: boolean;
}

/** Open what `options` say, as a disk; throws DebloatError where it cannot be one. */
export function openDisk(options: DiskOptions): Disk {
  const { image, mode } = options;
  const fd = openImage(image, mode === 'writable' ? 'r+' : 'r');
  try {
    const { size, mtimeNs } = fstatSync(fd, { bigint: true });
    checkImage(image, fd, Number(size), mode);
    if (mode === 'read-only' && options.preload) return preloaded(fd, Number(size));
    const file = new FileDisk(fd, Number(size), mode !== 'writable');
    if (mode !== 'session') return file;
    return new SessionDisk(file, openSession(options, file.sectors, Number(size), mtimeNs));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openImage(image: string, flags: 'r' | 'r+'): number {
  try {
    return openSync(image, flags);
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ENOTDIR')) {
      throw new DebloatError(`there is no file ${image}`, { cause: error });
    }
    if (failedWith(error, 'EISDIR')) throw notAFile(image);
    const writing = flags === 'r+';
    throw new DebloatError(
      `cannot open ${image}${writing ? ' for writing' : ''}: ${messageOf(error)}`,
      { hint: openHint(image, writing), cause: error },
    );
  }
}

function openHint(image: string, writing: boolean): string {
  try {
    if (writing) accessSync(image, constants.R_OK);
    if (writing) return 'serve it with --read-only, or with --cow to write to a copy';
  } catch {
    // not readable either
  }
  return `let this user read it (ls -l ${image} shows who may), or be another user`;
}

function notAFile(image: string): DebloatError {
  return new DebloatError(`${image} is not a file`, {
    hint: 'serve an image file, not a device or directory',
  });
}

function checkImage(image: string, fd: number, size: number, mode: DiskOptions['mode']): void {
  if (!fstatSync(fd).isFile()) throw notAFile(image);
  if (size === 0) {
    throw new DebloatError(`${image} is empty`, {
      hint: `give a new disk its size: truncate -s 1G ${image}`,
    });
  }
  const start = Buffer.alloc(4);
  readSync(fd, start, 0, 4, 0);
  if (start.equals(Buffer.from('QFI\xfb', 'latin1'))) {
    throw new DebloatError(`${image} is in qcow2 format, and images are served as they are`, {
      hint: `convert it: qemu-img convert -O raw ${image} ${image}.raw`,
    });
  }
  if (mode === 'writable' && size % sectorSize !== 0) {
    throw new DebloatError(`the size of ${image}, ${size}, is not a multiple of ${sectorSize}`, {
      hint: `make it one: truncate -s %${sectorSize} ${image}`,
    });
  }
}

function openSession(
  options: DiskOptions,
  sectors: number,
  size: number,
  modified: bigint,
): SessionFile {
  const { sessionFile } = options;
  const where = sessionFile ?? process.env['DEBLOAT_TMPDIR'] ?? tmpdir();
  try {
    return sessionFile === undefined
      ? SessionFile.temporary(where, sectors)
      : SessionFile.keptAt(sessionFile, sectors, { size, modified });
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`cannot keep a session in ${where}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
