import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  fsyncSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DebloatError } from '../../../analyzer/errors.js';
import { reserveRoom } from '../../../native/linux/file-io.js';
import { Mapping, pageSize } from '../../../native/linux/mapping.js';
import { SectorMap, sectorMapLength } from './sector-map.js';

/** What a session belongs to: it makes no sense over another image, or over one that was changed. */
export interface ImageIdentity {
  size: number;
  /** Of its last change, in nanoseconds. */
  modified: bigint;
}

/** First bytes of the page that ends a kept session: format and version. */
const magic = Buffer.from('debloat session1');

/**
 * The writes of a copy-on-write session: a sparse file with each written sector where it is on the
 * disk, and the set of those sectors. A kept file has the set, mapped, after the last sector, and
 * then a page that says which image it belongs to; so it is right whenever we are killed.
 */
export class SessionFile {
  private constructor(
    readonly fd: number,
    readonly written: SectorMap,
    private readonly map: Mapping,
  ) {}

  /** A session that nobody can see and that goes with us. */
  static temporary(directory: string, sectors: number): SessionFile {
    const path = join(directory, `debloat-session-${randomUUID()}`);
    const fd = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    ftruncateSync(fd, sectors * 512);
    const length = sectorMapLength(sectors);
    const map = Mapping.anonymous(length);
    return new SessionFile(fd, new SectorMap(map.bytes(0, length)), map);
  }

  /** The session kept at `path`: begun if there is none, gone on with if it belongs to `image`. */
  static keptAt(path: string, sectors: number, image: ImageIdentity): SessionFile {
    const length = sectorMapLength(sectors);
    const mapOffset = roundUp(sectors * 512);
    const last = mapOffset + roundUp(length);
    const identity = describe(image);
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const { size } = fstatSync(fd);
      if (size === 0) {
        ftruncateSync(fd, last + identity.length);
        // A page of the mapped set that the medium has no room for would be a SIGBUS.
        reserveRoom(fd, mapOffset, last + identity.length - mapOffset);
        writeSync(fd, identity, 0, identity.length, last);
        fsyncSync(fd);
      } else {
        const found = Buffer.alloc(identity.length);
        readSync(fd, found, 0, found.length, Math.max(0, size - found.length));
        if (size !== last + identity.length || !found.equals(identity)) throw foreign(path, found);
      }
      const map = Mapping.ofFile(fd, { offset: mapOffset, length, writable: true });
      return new SessionFile(fd, new SectorMap(map.bytes(0, length)), map);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    this.map.close();
    closeSync(this.fd);
  }
}

function roundUp(length: number): number {
  return Math.ceil(length / pageSize) * pageSize;
}

function describe(image: ImageIdentity): Buffer {
  const page = Buffer.alloc(pageSize);
  magic.copy(page);
  page.writeBigUInt64LE(BigInt(image.size), magic.length);
  page.writeBigUInt64LE(image.modified, magic.length + 8);
  return page;
}

function foreign(path: string, found: Buffer): DebloatError {
  if (found.subarray(0, magic.length).equals(magic)) {
    return new DebloatError(`${path} is the session of another image, or the image was changed`, {
      hint: 'give another file to --cow, or remove this one',
    });
  }
  return new DebloatError(`${path} is not a session of debloat`, {
    hint: '--cow takes a file that is not there yet, or one that it made',
  });
}
