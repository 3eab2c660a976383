import type { RawRecord } from '../../analyzer/trace/raw.js';
import { accessKinds } from '../../analyzer/trace/types.js';

/** Bytes of one record, as native/sensor/record.h describes them. */
export function recordBytes(
  kind: number,
  outcome: number,
  by: string,
  path: Buffer | string,
): Buffer {
  const name = Buffer.from(by);
  const bytes = Buffer.concat([
    Buffer.from([0, 0, kind, outcome, name.length]),
    name,
    Buffer.from(path),
  ]);
  bytes.writeUInt16LE(bytes.length, 0);
  return bytes;
}

export interface HeaderFields {
  magic?: string;
  version?: number;
  flags?: number;
  events?: number;
  lost?: number;
  started?: number;
  others?: number;
  unreadable?: [string, number][];
}

/** Bytes of a trace file's header. */
export function headerBytes(fields: HeaderFields = {}): Buffer {
  const {
    magic = 'DBLTRACE',
    version = 1,
    flags = 0,
    events = 0,
    lost = 0,
    started = 1,
    others = 0,
  } = fields;
  const unreadable = fields.unreadable ?? [];
  const header = Buffer.alloc(4096);
  header.write(magic, 'latin1');
  header.writeUInt32LE(version, 8);
  header.writeUInt32LE(flags, 12);
  header.writeBigUInt64LE(BigInt(events), 16);
  header.writeBigUInt64LE(BigInt(lost), 24);
  header.writeUInt32LE(unreadable.length, 36);
  header.writeBigUInt64LE(BigInt(others), 40);
  header.writeBigUInt64LE(BigInt(started), 48);
  unreadable.forEach(([name, count], i) => {
    header.write(name, 56 + i * 24);
    header.writeBigUInt64LE(BigInt(count), 56 + i * 24 + 16);
  });
  return header;
}

/** "open /etc/passwd cat found" as a record. */
export function rawRecord(text: string): RawRecord {
  const [kind = '', path = '', by = 'app', outcome = 'found'] = text.split(' ');
  const known = accessKinds.find((name) => name === kind);
  if (known === undefined) throw new Error(`no such kind: ${kind}`);
  return { kind: known, path, by, outcome: outcome as RawRecord['outcome'] };
}
