import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../../test/support/random.js';
import { DebloatError } from '../../../analyzer/errors.js';
import { openDisk } from './open-disk.js';
import { SectorMap, sectorMapLength } from './sector-map.js';
import { SessionFile } from './session-file.js';

const directory = mkdtempSync(join(tmpdir(), 'debloat-session-test-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('SectorMap', () => {
  it('is a set with runs, as a plain list of booleans is', () => {
    const sectors = 203;
    const random = new Random(5);
    for (let round = 0; round < 200; round++) {
      const map = new SectorMap(new Uint8Array(sectorMapLength(sectors)));
      const model = new Array<boolean>(sectors).fill(false);
      for (let n = random.below(5); n > 0; n--) {
        const from = random.below(sectors);
        const to = from + random.below(sectors - from + 1);
        map.add(from, to);
        model.fill(true, from, to);
      }
      expect(model.map((_, sector) => map.has(sector))).toEqual(model);
      for (let from = 0; from < sectors; from += 1 + random.below(9)) {
        const to = from + 1 + random.below(sectors - from);
        const change = model.findIndex((value, at) => at > from && value !== model[from]);
        expect(map.runEnd(from, to)).toBe(change < 0 ? to : Math.min(change, to));
      }
    }
  });
});

describe('SessionFile', () => {
  const image = { size: 1 << 20, modified: 7n };
  const sectors = 2048;

  it('is gone on with by the next server, killed or not', () => {
    const path = join(directory, 'kept');
    const first = SessionFile.keptAt(path, sectors, image);
    first.written.add(5, 9);
    // Not closed: as kill -9 leaves it.
    const second = SessionFile.keptAt(path, sectors, image);
    expect([4, 5, 8, 9].map((sector) => second.written.has(sector))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    second.close();
    first.close();
    const third = SessionFile.keptAt(path, sectors, image);
    expect(third.written.has(5)).toBe(true);
    third.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is refused over another image, and where it is another file', () => {
    const path = join(directory, 'other');
    SessionFile.keptAt(path, sectors, image).close();
    for (const other of [
      { ...image, modified: 8n },
      { ...image, size: image.size - 1 },
    ]) {
      expect(() => SessionFile.keptAt(path, sectors, other)).toThrow('another image');
    }
    const foreign = join(directory, 'foreign');
    writeFileSync(foreign, 'precious');
    expect(() => SessionFile.keptAt(foreign, sectors, image)).toThrow('not a session');
    expect(readFileSync(foreign, 'utf8')).toBe('precious');
  });

  it('leaves nothing when it is temporary', () => {
    const before = readdirSync(directory);
    const session = SessionFile.temporary(directory, sectors);
    expect(readdirSync(directory)).toEqual(before);
    session.close();
  });
});

describe('openDisk', () => {
  const open = (image: string, mode: 'read-only' | 'writable' | 'session', sessionFile?: string) =>
    openDisk({ image, mode, preload: false, sessionFile });

  it('opens an image in each way', () => {
    const image = join(directory, 'image');
    writeFileSync(image, Buffer.alloc(5 * 512));
    for (const mode of ['read-only', 'writable', 'session'] as const) {
      const disk = open(image, mode);
      expect([disk.sectors, disk.readOnly]).toEqual([5, mode === 'read-only']);
      disk.close();
    }
  });

  it('goes on with a session only over the image as it was', () => {
    const image = join(directory, 'touched');
    const session = join(directory, 'touched-session');
    writeFileSync(image, Buffer.alloc(512));
    open(image, 'session', session).close();
    open(image, 'session', session).close();
    utimesSync(image, 1, 1);
    expect(() => open(image, 'session', session)).toThrow(DebloatError);
  });

  it('says what is wrong with an image', () => {
    const write = (name: string, content: Uint8Array | string) => {
      const path = join(directory, name);
      writeFileSync(path, content);
      return path;
    };
    for (const mode of ['read-only', 'writable'] as const) {
      expect(() => open(join(directory, 'none'), mode)).toThrow('there is no file');
    }
    expect(() => open(directory, 'read-only')).toThrow('not a file');
    expect(() => open(write('empty', ''), 'read-only')).toThrow('is empty');
    expect(() => open(write('odd', 'x'.repeat(513)), 'writable')).toThrow('multiple of 512');
    const qcow = Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(508)]);
    expect(() => open(write('qcow', qcow), 'read-only')).toThrow('qcow2');
  });
});
