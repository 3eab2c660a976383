import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DebloatError } from '../../analyzer/errors.js';
import type { SessionEvent } from './session-frames.js';
import {
  FrameType,
  SessionDecoder,
  frameMost,
  inputEndFrame,
  inputFrames,
  loadFrames,
  resizeFrame,
  settingsFrames,
  signalFrame,
} from './session-frames.js';

const header = fileURLToPath(new URL('../../native/guest/stage2/session.h', import.meta.url));

/** The frames in `bytes`, as [type, payload]. */
function cut(bytes: Uint8Array): [number, Buffer][] {
  const all = Buffer.from(bytes);
  const frames: [number, Buffer][] = [];
  for (let at = 0; at < all.length;) {
    const size = all.readUInt16LE(at + 2);
    frames.push([all[at] ?? 0, all.subarray(at + 4, at + 4 + size)]);
    at += 4 + size;
  }
  return frames;
}

const frame = (type: number, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([type, 0, payload.length & 255, payload.length >> 8]), payload]);

describe('frames to stage 2', () => {
  it('have the numbers of session.h', () => {
    const numbers = [...readFileSync(header, 'utf8').matchAll(/FRAME_(\w+) = (\w+)/g)].map(
      ([, name = '', number]) =>
        [
          name.toLowerCase().replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
          Number(number),
        ] as const,
    );
    expect(Object.fromEntries(numbers)).toEqual(FrameType);
    expect(readFileSync(header, 'utf8')).toContain(`#define FRAME_MOST ${frameMost}`);
  });

  it('carry the settings, and end in run', () => {
    const frames = cut(
      settingsFrames({
        command: ['cat', 'ä b'],
        environment: ['A=1'],
        directory: '/tmp',
        user: { uid: 33, gid: 34, groups: [5] },
        overlay: { serial: 'dbl01' },
        container: 4242,
        terminal: { rows: 24, columns: 80 },
      }),
    );
    expect(frames.map(([type]) => type)).toEqual([
      FrameType.argument,
      FrameType.argument,
      FrameType.environment,
      FrameType.serial,
      FrameType.directory,
      FrameType.user,
      FrameType.container,
      FrameType.terminal,
      FrameType.run,
    ]);
    expect(frames[1]?.[1].toString()).toBe('ä b');
    expect(frames[5]?.[1].toString('hex')).toBe('210000002200000005000000');
    expect(frames[7]?.[1].toString('hex')).toBe('1800500000000000');
  });

  it('name a container by a frame of its own', () => {
    const settings = { command: ['true'], overlay: { serial: 'x' }, container: 'web' };
    expect(cut(settingsFrames(settings))).toContainEqual([
      FrameType.containerName,
      Buffer.from('web'),
    ]);
  });

  it('refuse what cannot be carried', () => {
    const overlay = { serial: 'x' };
    expect(() => settingsFrames({ command: [], overlay })).toThrow(RangeError);
    expect(() => settingsFrames({ command: ['a\0b'], overlay })).toThrow(RangeError);
    expect(() => settingsFrames({ command: ['a'.repeat(20_000)], overlay })).toThrow(DebloatError);
    expect(() => resizeFrame({ rows: 70_000, columns: 1 })).toThrow(RangeError);
    expect(() => signalFrame(0)).toThrow(RangeError);
  });

  it('cut long input and modules to pieces, and lose nothing', () => {
    const bytes = Uint8Array.from({ length: 40_000 }, (_, at) => at % 251);
    const frames = cut(inputFrames(bytes));
    expect(frames.map(([type, piece]) => [type, piece.length])).toEqual([
      [FrameType.input, 16_384],
      [FrameType.input, 16_384],
      [FrameType.input, 7_232],
    ]);
    expect(Buffer.concat(frames.map(([, piece]) => piece)).equals(bytes)).toBe(true);
    const module = cut(loadFrames([{ name: 'virtio_blk', bytes }]));
    expect(module.map(([type]) => type)).toEqual([
      ...[FrameType.module, FrameType.module, FrameType.module],
      ...[FrameType.load, FrameType.run],
    ]);
    expect(module[3]?.[1].toString()).toBe('virtio_blk');
    expect(cut(inputEndFrame())).toEqual([[FrameType.inputEnd, Buffer.alloc(0)]]);
  });
});

describe('frames from stage 2', () => {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  const stream = Buffer.concat([
    frame(FrameType.note, Buffer.concat([number(-19), Buffer.from('mount an \x1b[1moverlayfs')])),
    frame(FrameType.started, number(77)),
    frame(FrameType.output, Buffer.from('hello')),
    frame(0x7f, Buffer.from('from the future')),
    frame(FrameType.errors, Buffer.from('oh')),
    frame(FrameType.exit, number(0x300)),
    frame(FrameType.exit, number(9)),
  ]);
  const events: SessionEvent[] = [
    { type: 'note', errno: 19, what: 'mount an ?[1moverlayfs' },
    { type: 'started', process: 77 },
    { type: 'output', bytes: Buffer.from('hello') },
    { type: 'errors', bytes: Buffer.from('oh') },
    { type: 'exit', code: 3 },
    { type: 'exit', code: 137, signal: 9 },
  ];

  it('become events, however the stream is cut', () => {
    for (const step of [1, 2, 3, 7, 1000]) {
      const decoder = new SessionDecoder();
      const got: SessionEvent[] = [];
      for (let at = 0; at < stream.length; at += step) {
        got.push(...decoder.push(stream.subarray(at, at + step)));
      }
      expect(got).toEqual(events);
    }
  });

  it('are refused where they make no sense', () => {
    const push = (bytes: number[]) => () => new SessionDecoder().push(Uint8Array.from(bytes));
    expect(push([FrameType.output, 1, 0, 0])).toThrow(DebloatError);
    expect(push([FrameType.output, 0, 1, 0x40])).toThrow(DebloatError);
    expect(push([FrameType.exit, 0, 1, 0, 5])).toThrow(DebloatError);
  });
});
