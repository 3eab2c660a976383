import { DebloatError } from '../errors.js';
import { normalizePath, pathFromBytes } from '../image/path.js';
import type { RawRecord, RawTrace } from './raw.js';
import { accessKinds } from './types.js';

/** The layout of a trace file: native/sensor/record.h. */
const magic = 'DBLTRACE';
const version = 1;
const headerSize = 4096;
const programsOffset = 56;
const programSize = 24;
const maxPrograms = 128;
const nameSize = 16;
const noNewPrivilegesFlag = 1;
const recordHead = 5;
const outcomes = ['found', 'missing', 'created'] as const;

/**
 * What the sensors of one container recorded, from the bytes of all their trace files.
 *
 * Records are in the order in which they were written, file after file by the time it was begun. A
 * last record that was cut short and a file whose sensor died before it began are passed over; any
 * other damage is an error (the workload can write to these files, so nothing in them is trusted).
 */
export function parseRawTrace(files: Buffer[]): RawTrace {
  const begun = files.filter(hasBegun).sort((a, b) => compare(startOf(a), startOf(b)));
  const trace: Required<RawTrace> = {
    records: [],
    events: 0,
    unreadable: new Map(),
    lost: 0,
    noNewPrivileges: false,
  };
  for (const file of begun) {
    readHeader(file, trace);
    readRecords(file, trace.records);
  }
  return trace;
}

function hasBegun(file: Buffer): boolean {
  return (
    file.length >= headerSize && !file.subarray(0, magic.length).equals(Buffer.alloc(magic.length))
  );
}

function startOf(file: Buffer): bigint {
  return file.readBigUInt64LE(48);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function readHeader(file: Buffer, trace: Required<RawTrace>): void {
  if (file.toString('latin1', 0, magic.length) !== magic) throw damaged('it has no header');
  const found = file.readUInt32LE(8);
  if (found !== version) throw damaged(`its version is ${found}, not ${version}`);
  if ((file.readUInt32LE(12) & noNewPrivilegesFlag) !== 0) trace.noNewPrivileges = true;
  trace.events += count(file, 16);
  trace.lost += count(file, 24);
  const programs = file.readUInt32LE(36);
  if (programs > maxPrograms) throw damaged('its table of programs is too long');
  for (let i = 0; i < programs; i++) {
    const at = programsOffset + i * programSize;
    const name = file.subarray(at, at + nameSize);
    const end = name.indexOf(0);
    addTo(
      trace.unreadable,
      pathFromBytes(end < 0 ? name : name.subarray(0, end)),
      count(file, at + nameSize),
    );
  }
  addTo(trace.unreadable, 'others', count(file, 40));
}

function addTo(counts: Map<string, number>, name: string, more: number): void {
  if (more > 0) counts.set(name, (counts.get(name) ?? 0) + more);
}

function count(file: Buffer, offset: number): number {
  const value = file.readBigUInt64LE(offset);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged('a counter of it is too large');
  return Number(value);
}

function readRecords(file: Buffer, records: RawRecord[]): void {
  let at = headerSize;
  while (at + recordHead <= file.length) {
    const size = file.readUInt16LE(at);
    if (size === 0 || at + size > file.length) return;
    records.push(readRecord(file.subarray(at, at + size)));
    at += size;
  }
}

function readRecord(bytes: Buffer): RawRecord {
  if (bytes.length <= recordHead) throw damaged('a record is too short');
  const kind = accessKinds[bytes.readUInt8(2)];
  const outcome = outcomes[bytes.readUInt8(3)];
  const nameEnd = recordHead + bytes.readUInt8(4);
  if (kind === undefined || outcome === undefined) throw damaged('a record is of an unknown kind');
  if (nameEnd >= bytes.length || bytes.includes(0, recordHead))
    throw damaged('a record has no path');
  const path = pathFromBytes(bytes.subarray(nameEnd));
  if (normalizePath(path) !== path) throw damaged('a record’s path is not a resolved one');
  return { kind, path, by: pathFromBytes(bytes.subarray(recordHead, nameEnd)), outcome };
}

function damaged(how: string): DebloatError {
  return new DebloatError(`a trace file of the sensor is damaged: ${how}`, {
    hint: 'run the workload again; it must not write to /.debloat',
  });
}
