import { paxInteger, paxName, type PaxRecords } from './tar-pax.js';
import { blockSize, number, TarError } from './tar-header.js';
import type { SparseSegment } from './types.js';

/** How a sparse member's data lies in the file. */
export interface SparseMap {
  segments: SparseSegment[];
  /** Logical size of the file, bytes. */
  size: number;
  /** The real name, where the header has a made-up one. */
  name?: string;
  /** Bytes before the data that hold the map itself (extension blocks or the text of format 1.0). */
  mapSize: number;
}

/** Reads exactly `length` bytes at `offset` of the archive, or throws TarError. */
export type ReadExactly = (offset: number, length: number) => Buffer;

const maximumMapBytes = 8 * 1024 * 1024;

/** The map of an old GNU sparse member ('S'): 4 segments in the header, 21 in each extension block. */
export function oldGnuSparse(block: Buffer, dataOffset: number, read: ReadExactly): SparseMap {
  const segments: SparseSegment[] = [];
  const size = number(block, 483, 12, 'real size');
  collect(block, 386, 4, segments);
  let mapSize = 0;
  let extended = block[482] !== 0;
  while (extended) {
    if (mapSize > maximumMapBytes) throw new TarError('its sparse map is absurdly long');
    const extension = read(dataOffset + mapSize, blockSize);
    mapSize += blockSize;
    collect(extension, 0, 21, segments);
    extended = extension[504] !== 0;
  }
  return { segments, size, mapSize };
}

function collect(block: Buffer, at: number, count: number, into: SparseSegment[]): void {
  for (let i = 0; i < count; i++, at += 24) {
    if (block[at] === 0) return; // unused slots are NULs, a used one starts with a digit or 0x80
    into.push({
      offset: number(block, at, 12, 'sparse map'),
      length: number(block, at + 12, 12, 'sparse map'),
    });
  }
}

/** The map of a pax sparse member (GNU formats 0.0, 0.1 and 1.0), undefined if it is none. */
export function paxSparse(
  records: PaxRecords,
  dataOffset: number,
  read: ReadExactly,
): SparseMap | undefined {
  if (records.length === 0) return undefined;
  const values = new Map(records);
  const text = (key: string) => values.get(`GNU.sparse.${key}`)?.toString('latin1');
  const integer = (key: string) => paxInteger(text(key) ?? '', `GNU.sparse.${key}`);
  const rawName = values.get('GNU.sparse.name');
  const name = rawName && rawName.length > 0 ? { name: paxName(rawName, 'GNU.sparse.name') } : {};

  if (text('major') === '1' && text('minor') === '0') {
    const { numbers, mapSize } = leadingMap(dataOffset, read);
    return { segments: pairs(numbers), size: integer('realsize'), ...name, mapSize };
  }
  const map = text('map');
  if (map !== undefined) {
    const numbers = map === '' ? [] : map.split(',').map((n) => paxInteger(n, 'GNU.sparse.map'));
    return { segments: pairs(numbers), size: integer('size'), ...name, mapSize: 0 };
  }
  if (values.has('GNU.sparse.numblocks')) {
    const numbers = records
      .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
      .map(([key, value]) => paxInteger(value.toString('latin1'), key));
    return { segments: pairs(numbers), size: integer('size'), ...name, mapSize: 0 };
  }
  throw new TarError('its sparse format is unknown');
}

// Format 1.0: decimal numbers, one a line, first their count; padded to whole blocks, then the data.
function leadingMap(dataOffset: number, read: ReadExactly): { numbers: number[]; mapSize: number } {
  let text = '';
  let mapSize = 0;
  let lines: string[] = [];
  let wanted = 1;
  for (;;) {
    text += read(dataOffset + mapSize, blockSize).toString('latin1');
    mapSize += blockSize;
    const newline = text.lastIndexOf('\n');
    if (newline >= 0) {
      lines = lines.concat(text.slice(0, newline).split('\n'));
      text = text.slice(newline + 1);
      wanted = 1 + 2 * paxInteger(lines[0] ?? '', 'sparse map');
    }
    if (lines.length >= wanted) break;
    if (mapSize > maximumMapBytes) throw new TarError('its sparse map is absurdly long');
  }
  return { numbers: lines.slice(1, wanted).map((line) => paxInteger(line, 'sparse map')), mapSize };
}

function pairs(numbers: number[]): SparseSegment[] {
  if (numbers.length % 2 !== 0) throw new TarError('its sparse map has an odd number of values');
  const segments: SparseSegment[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    segments.push({ offset: numbers[i] ?? 0, length: numbers[i + 1] ?? 0 });
  }
  return segments;
}

/**
 * The segments that hold data, checked: in order, apart, inside the file, and together as long as
 * the data stored. Throws TarError.
 */
export function checkedSegments(map: SparseMap, storedSize: number): SparseSegment[] {
  let end = 0;
  let stored = 0;
  for (const { offset, length } of map.segments) {
    if (offset < end || offset + length > map.size) {
      throw new TarError('its sparse map is out of order or reaches beyond the file');
    }
    end = offset + length;
    stored += length;
  }
  if (stored !== storedSize) {
    throw new TarError('its sparse map and the data stored differ in size');
  }
  return map.segments.filter(({ length }) => length > 0);
}
