import { DebloatError } from '../errors.js';
import { classify, hardlinkTarget, imagePath } from './tar-name.js';
import {
  blockSize,
  isZeroBlock,
  padded,
  parseDevice,
  parseHeader,
  TarError,
  type TarHeader,
} from './tar-header.js';
import { interpretPax, parsePaxRecords, type PaxAttributes } from './tar-pax.js';
import { checkedSegments, oldGnuSparse, paxSparse, type SparseMap } from './tar-sparse.js';
import { pathFromBytes } from './path.js';
import type { Entry, EntryKind } from './types.js';

/** Random access to the bytes of a tar. */
export interface ByteSource {
  /** Bytes. */
  readonly size: number;
  /** `length` bytes at `offset`, fewer only at the end; valid until the next call. */
  read(offset: number, length: number): Buffer;
}

const maximumExtension = 1024 * 1024;

const kinds: Record<string, EntryKind> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'dir',
  '6': 'fifo',
};

/** Extension headers seen since the last member. */
interface Extensions {
  pax?: PaxAttributes;
  longName?: string;
  longLink?: string;
}

/**
 * Index the members of a layer's uncompressed tar without reading their data: ustar, GNU, star, v7
 * and pax headers, all sparse formats. As container engines do, a global pax header changes nothing
 * and the archive ends at two zero blocks or at the end of the stream.
 *
 * @param layer position from 0, and how to name it in errors ("layer 2 (sha256:…)").
 * @throws DebloatError naming layer and entry if the tar is damaged or an entry climbs out.
 */
export function* indexTar(
  source: ByteSource,
  layer: { index: number; name: string },
): Generator<Entry, void, undefined> {
  const cursor = new Cursor(source);
  for (;;) {
    try {
      const entry = cursor.next(layer.index);
      if (entry === undefined) return;
      if (entry !== 'skipped') yield entry;
    } catch (error) {
      if (!(error instanceof TarError)) throw error;
      throw new DebloatError(`${layer.name}, ${cursor.where()}: ${error.message}`, {
        hint: 'the layer is damaged or was not made by an image builder; pull or build the image again',
        cause: error,
      });
    }
  }
}

class Cursor {
  readonly #source: ByteSource;
  #offset = 0;
  #name: string | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  where(): string {
    return this.#name === undefined
      ? `at byte ${this.#offset}`
      : `entry ${JSON.stringify(this.#name)}`;
  }

  /** The next member; undefined at the end. */
  next(layer: number): Entry | 'skipped' | undefined {
    let extensions: Extensions = {};
    let start = this.#offset;
    this.#name = undefined;
    for (;;) {
      if (this.#atEnd()) {
        if (start !== this.#offset) throw new TarError('the tar ends after an extension header');
        return undefined;
      }
      const block = this.#exactly(this.#offset, blockSize);
      if (isZeroBlock(block)) {
        this.#endOfArchive();
        return undefined;
      }
      const header = parseHeader(block);
      this.#name = extensions.longName ?? extensions.pax?.path ?? header.name;
      const dataOffset = this.#offset + blockSize;
      switch (header.type) {
        case 'x': {
          extensions.pax = interpretPax(parsePaxRecords(this.#extension(header)));
          break;
        }
        case 'L':
          extensions.longName = longName(this.#extension(header));
          break;
        case 'K':
          extensions.longLink = longName(this.#extension(header));
          break;
        case 'g': // engines ignore it, and what was announced for the next member with it
          this.#extension(header);
          extensions = {};
          start = dataOffset + padded(header.size);
          break;
        default:
          return this.#member(block, header, extensions, start, layer);
      }
      this.#offset = dataOffset + padded(header.size);
    }
  }

  #member(
    block: Buffer,
    header: TarHeader,
    { pax, longName, longLink }: Extensions,
    start: number,
    layer: number,
  ): Entry | 'skipped' {
    const sparseHeader = header.type === 'S' ? Buffer.from(block) : undefined;
    const device = /[34]/.test(header.type) ? parseDevice(block) : undefined;
    let dataOffset = this.#offset + blockSize;
    let storedSize = pax?.size ?? header.size;
    let kind = kinds[header.type];
    if (kind === undefined) {
      throw new TarError(`members of type ${JSON.stringify(header.type)} are not supported`);
    }
    if (storedSize < 0) throw new TarError('its size is negative');

    const read = (offset: number, length: number) => this.#exactly(offset, length);
    let map: SparseMap | undefined;
    if (kind === 'file') {
      map = sparseHeader
        ? oldGnuSparse(sparseHeader, dataOffset, read)
        : paxSparse(pax?.sparse ?? [], dataOffset, read);
      if (map) {
        dataOffset += map.mapSize;
        if (!sparseHeader) storedSize -= map.mapSize; // format 1.0 counts its map as data
      }
    }
    const rawName = longName ?? map?.name ?? pax?.path ?? header.name;
    this.#name = rawName;
    if (kind === 'file' && header.type === '\0' && rawName.endsWith('/')) kind = 'dir';
    const hasData = kind === 'file';
    if (!hasData) storedSize = 0; // a size on anything else is ignored, as engines do
    const sparse = map && checkedSegments(map, storedSize);
    const end = dataOffset + storedSize;
    if (end > this.#source.size) {
      throw new TarError(
        `it claims ${storedSize} bytes, but the tar ends after ${Math.max(0, this.#source.size - dataOffset)} of them`,
      );
    }
    this.#offset = dataOffset + padded(storedSize);

    const name = classify(imagePath(rawName));
    if (name.kind === 'whiteout' || name.kind === 'opaque') kind = name.kind;
    if (name.path === '/' && kind !== 'dir' && kind !== 'opaque') {
      throw new TarError('it would replace the root directory');
    }
    const rawLink = longLink ?? pax?.link ?? header.link;
    const link =
      kind === 'hardlink' ? hardlinkTarget(rawLink) : kind === 'symlink' ? rawLink : undefined;
    if (link === '') throw new TarError('it is a symlink to nothing');
    const time = pax?.mtime ?? { seconds: header.mtime, nanoseconds: 0 };

    const entry: Entry = {
      path: name.path,
      kind,
      mode: header.mode,
      uid: ownerId(pax?.uid ?? header.uid, 'uid'),
      gid: ownerId(pax?.gid ?? header.gid, 'gid'),
      mtime: time.seconds + time.nanoseconds / 1e9,
      size: hasData ? (map?.size ?? storedSize) : 0,
      layer,
      headerOffset: start,
      dataOffset,
      storedSize,
      endOffset: Math.min(this.#offset, this.#source.size),
    };
    if (time.nanoseconds !== 0) entry.mtimeNanoseconds = time.nanoseconds;
    if (link !== undefined) entry.link = link;
    if (device && (kind === 'char' || kind === 'block')) Object.assign(entry, device);
    if (pax?.xattrs) entry.xattrs = pax.xattrs;
    if (sparse) entry.sparse = sparse;
    if (start + blockSize === dataOffset && isPlain(entry, header)) entry.plain = true;
    return entry;
  }

  #atEnd(): boolean {
    const left = this.#source.size - this.#offset;
    // Padding of the last member may be missing.
    return left <= 0;
  }

  // One zero block at the very end will do; a header after it would be a damaged archive.
  #endOfArchive(): void {
    const next = this.#source.read(this.#offset + blockSize, blockSize);
    if (!isZeroBlock(next)) throw new TarError('a single zero block stands amid the members');
  }

  #extension(header: TarHeader): Buffer {
    if (header.size < 0 || header.size > maximumExtension) {
      throw new TarError(
        `its extension header claims ${header.size} bytes (at most ${maximumExtension} are allowed)`,
      );
    }
    return Buffer.from(this.#exactly(this.#offset + blockSize, header.size));
  }

  #exactly(offset: number, length: number): Buffer {
    const bytes = this.#source.read(offset, length);
    if (bytes.length < length)
      throw new TarError(`the tar is truncated at byte ${this.#source.size}`);
    return bytes;
  }
}

function longName(data: Buffer): string {
  const end = data.at(-1) === 0 ? data.length - 1 : data.length;
  const name = data.subarray(0, end);
  if (name.includes(0)) throw new TarError('its long name holds a NUL byte');
  return pathFromBytes(name);
}

function ownerId(id: number, field: string): number {
  if (id < 0 || id > 0xffffffff) throw new TarError(`its ${field} is out of range`);
  return id;
}

// Names as every tar reads them alike; "./x" is what GNU tar writes for `tar -c .`.
function isPlain(entry: Entry, header: TarHeader): boolean {
  if (!/[0-6]/.test(header.type) || header.format === 'star') return false;
  if (entry.kind !== 'file' && header.size !== 0) return false;
  const suffix = entry.kind === 'dir' && entry.path !== '/' ? '/' : '';
  return (
    isSpelling(header.name, entry.path, suffix) &&
    (entry.kind !== 'hardlink' || isSpelling(header.link, entry.link ?? '', ''))
  );
}

function isSpelling(name: string, path: string, suffix: string): boolean {
  return name === path.slice(1) + suffix || name === `.${path}${suffix}`;
}
