import { spawn, type ChildProcess } from 'node:child_process';
import { arch } from 'node:os';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { SessionEvent, SessionSettings } from '../../attacher/guest/session-frames.js';
import { SessionDecoder, settingsFrames } from '../../attacher/guest/session-frames.js';

const name = arch() === 'arm64' ? 'stage2-arm64' : 'stage2-amd64';
const program = fileURLToPath(new URL(`../../dist/native/${name}`, import.meta.url));

/** Stage 2 on this machine's own kernel, started by the words `within` where there are any. */
export class Stage2Session {
  readonly process: ChildProcess;
  readonly stream: Duplex;
  readonly events: SessionEvent[] = [];
  readonly closed: Promise<unknown>;

  constructor(settings: SessionSettings, within: readonly string[] = []) {
    const [first, ...words] = [...within, program, '3'];
    this.process = spawn(first, words, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
    this.stream = this.process.stdio[3] as Duplex;
    const decoder = new SessionDecoder();
    this.stream.on('data', (bytes: Buffer) => {
      this.events.push(...decoder.push(bytes));
    });
    // Its last frames come first; then the end may be a reset, where it did not read all of ours.
    this.stream.on('error', () => undefined);
    this.closed = Promise.all([
      new Promise((resolve) => this.process.once('exit', resolve)),
      new Promise((resolve) => this.stream.once('close', resolve)),
    ]);
    this.stream.write(settingsFrames(settings));
  }

  bytes(type: 'output' | 'errors'): Buffer {
    return Buffer.concat(
      this.events.flatMap((event) => (event.type === type ? [event.bytes] : [])),
    );
  }

  get output(): string {
    return this.bytes('output').toString();
  }

  async until(text: string): Promise<void> {
    for (let left = 500; !this.output.includes(text); left--) {
      if (left === 0) throw new Error(`no "${text}" in "${this.output}"`);
      await sleep(20);
    }
  }
}
