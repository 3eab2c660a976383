import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FrameType } from '../guest/session-frames.js';
import { converse } from './conversation.js';
import type { Channel } from './channel.js';
import { CapturedEnd } from './user-end.js';
import { UserTerminal } from './user-terminal.js';

function frame(type: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(type, 0, payload.length & 255, payload.length >> 8),
    payload,
  ]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

const failure = (errno: number, what: string) =>
  frame(FrameType.failed, Buffer.concat([word(-errno), Buffer.from(what)]));

/** Says what it was told to, and keeps what it gets. */
class Script implements Channel {
  readonly written: Uint8Array[] = [];
  closed = false;

  constructor(readonly lines: (Uint8Array | (() => Promise<unknown>))[]) {}

  write(bytes: Uint8Array): Promise<void> {
    this.written.push(bytes);
    return Promise.resolve();
  }

  async read(): Promise<Uint8Array | undefined> {
    const next = this.closed ? undefined : this.lines.shift();
    if (typeof next !== 'function') return next;
    await next();
    return this.read();
  }

  close(): void {
    this.closed = true;
  }
}

const settings = { command: ['true'], overlay: { tree: '/t' } };
const started = frame(FrameType.started, word(7));

describe('a conversation with stage 2', () => {
  it('gives output and the exit code', async () => {
    const channel = new Script([
      started,
      Buffer.concat([frame(FrameType.output, Buffer.from('out')), Uint8Array.of(FrameType.errors)]),
      Uint8Array.of(0, 3, 0, ...Buffer.from('err')),
      frame(FrameType.exit, word(3 << 8)),
    ]);
    const user = new CapturedEnd(100);
    expect(await converse(channel, settings, user)).toEqual({ code: 3 });
    expect([user.output.toString(), user.errors.toString()]).toEqual(['out', 'err']);
    expect(channel.closed).toBe(true);
  });

  it('tells a command that could not start from a session that could not', async () => {
    const refused = new Script([
      started,
      failure(2, 'nosuch'),
      frame(FrameType.exit, word(127 << 8)),
    ]);
    expect(await converse(refused, settings, new CapturedEnd(9))).toEqual({
      code: 127,
      refusal: 'nosuch: no such file or directory',
    });
    const failed = converse(new Script([failure(1, 'mount it')]), settings, new CapturedEnd(9));
    await expect(failed).rejects.toThrow(
      'The session could not be started: mount it: operation not permitted.',
    );
    const whole = converse(new Script([failure(0, 'no tea')]), settings, new CapturedEnd(9));
    await expect(whole).rejects.toThrow('The session could not be started: no tea.');
    const lost = converse(new Script([started]), settings, new CapturedEnd(9));
    await expect(lost).rejects.toThrow('lost');
  });

  it('hangs up a command that writes more than is kept', async () => {
    const channel = new Script([started, frame(FrameType.output, Buffer.alloc(50)), started]);
    const user = new CapturedEnd(20);
    expect(await converse(channel, settings, user)).toEqual({ code: 129, signal: 1 });
    expect(user.overflowed).toBe(true);
  });

  it('passes input on to its end, and waits for a slow reader', async () => {
    const streams = {
      input: new PassThrough(),
      output: new PassThrough({ highWaterMark: 1 }),
      errors: new PassThrough(),
    };
    streams.input.end('hello');
    const channel = new Script([
      started,
      () => new Promise((resolve) => setTimeout(resolve, 20)),
      frame(FrameType.output, Buffer.from('abc')),
      frame(FrameType.exit, word(0)),
    ]);
    const user = new UserTerminal(() => undefined, { streams });
    let over = false;
    const end = converse(channel, settings, user).finally(() => (over = true));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(over).toBe(false);
    const read = streams.output.read() as Buffer;
    expect(await end).toEqual({ code: 0 });
    const sent = Buffer.concat(channel.written).toString('latin1');
    expect(sent.endsWith('\x01\0\x05\0hello\x02\0\0\0')).toBe(true);
    expect(read).toEqual(Buffer.from('abc'));
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('puts a terminal into raw mode, tells its size, and restores it', async () => {
    const modes: boolean[] = [];
    const input = Object.assign(new PassThrough(), {
      isTTY: true as const,
      setRawMode: (mode: boolean) => modes.push(mode),
    });
    const output = Object.assign(new PassThrough(), { isTTY: true, rows: 10, columns: 20 });
    const streams = { input, output, errors: new PassThrough() };
    const channel = new Script([
      started,
      () => {
        output.rows = 11;
        output.emit('resize');
        process.emit('SIGINT');
        return Promise.resolve();
      },
      failure(5, 'later'),
    ]);
    const user = new UserTerminal(() => undefined, { streams: streams as never });
    await expect(converse(channel, settings, user)).rejects.toThrow('later');
    const sent = Buffer.concat(channel.written).toString('latin1');
    expect(sent).toContain('\x17\0\x08\0\x0a\0\x14\0');
    expect(sent).toContain('\x03\0\x08\0\x0b\0\x14\0');
    expect(sent).toContain('\x04\0\x01\0\x02');
    expect(modes).toEqual([true, false]);
  });
});
