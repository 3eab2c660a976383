import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { DebloatError } from '../../analyzer/errors.js';
import type { TerminalSize } from '../guest/session-frames.js';
import type { UserEnd, UserListener } from './user-end.js';

/** Signals that the command gets in our place, where they do not come through its terminal. */
const passedOn = ['SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGHUP'] as const;
/** After these it has this long to end, in milliseconds; then the session is hung up. */
const ending: readonly string[] = ['SIGTERM', 'SIGHUP'];
const patience = 2000;

export interface UserStreams {
  input: Readable & Partial<Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode'>>;
  output: Writable & Partial<Pick<NodeJS.WriteStream, 'isTTY' | 'rows' | 'columns'>>;
  errors: Writable;
}

/**
 * The user's own standard streams: a terminal if both input and output are one (raw mode, window
 * size; restored however the process ends), else pipes. Call it before anything is touched.
 */
export class UserTerminal implements UserEnd {
  readonly #streams: UserStreams;
  readonly #note: (line: string) => void;
  readonly #takesOver: () => void;
  readonly #undo: (() => void)[] = [];
  readonly #broken = new Set<Writable>();
  readonly size: TerminalSize | undefined;
  readonly input: AsyncIterable<Uint8Array>;

  /** `takesOver` is called when the user's signals begin to go to the command. */
  constructor(
    note: (line: string) => void,
    {
      streams = ownStreams(),
      takesOver = () => undefined,
    }: { streams?: UserStreams; takesOver?: () => void } = {},
  ) {
    this.#streams = streams;
    this.#note = note;
    this.#takesOver = takesOver;
    const isTerminal = streams.input.isTTY === true && streams.output.isTTY === true;
    this.size = isTerminal ? this.#currentSize() : undefined;
    this.input = streams.input;
  }

  note(line: string): void {
    this.#note(line);
  }

  listen(listener: UserListener): void {
    for (const stream of [this.#streams.output, this.#streams.errors]) {
      this.#on(stream, 'error', () => {
        // Like a pipe into `head`: nobody reads what the command writes.
        this.#broken.add(stream);
        listener.gone();
      });
    }
    this.#passSignals(listener);
    this.#takesOver();
    if (this.size) this.#takeTerminal(listener);
  }

  async write(to: 'output' | 'errors', bytes: Uint8Array): Promise<void> {
    const stream = this.#streams[to];
    if (this.#broken.has(stream)) return;
    await new Promise<void>((resolve) => {
      // Not the drain event: when this resolves the bytes are out, even if the process ends then.
      stream.write(bytes, () => resolve());
    });
  }

  restore(): void {
    for (const undo of this.#undo.splice(0)) undo();
    // A pending read would keep the process.
    this.#streams.input.destroy();
  }

  #currentSize(): TerminalSize {
    const { rows, columns } = this.#streams.output;
    return { rows: rows ?? 24, columns: columns ?? 80 };
  }

  #on(emitter: NodeJS.EventEmitter, event: string, callback: () => void): void {
    emitter.on(event, callback);
    this.#undo.push(() => emitter.off(event, callback));
  }

  #passSignals(listener: UserListener): void {
    for (const name of passedOn) {
      let last: NodeJS.Timeout | undefined;
      this.#on(process, name, () => {
        listener.signalled(constants.signals[name]);
        if (!ending.includes(name)) return;
        last ??= setTimeout(() => listener.gone(), patience);
      });
      this.#undo.push(() => clearTimeout(last));
    }
  }

  #takeTerminal(listener: UserListener): void {
    const { input, output } = this.#streams;
    const cook = () => {
      try {
        input.setRawMode?.(false);
      } catch {
        // The terminal has gone.
      }
    };
    try {
      input.setRawMode?.(true);
    } catch (error) {
      throw new DebloatError('The terminal cannot be put into raw mode.', { cause: error });
    }
    if (input === process.stdin) passOutputUnchanged();
    this.#undo.push(cook);
    this.#on(process, 'exit', cook);
    this.#on(output, 'resize', () => listener.resized(this.#currentSize()));
    // It may have changed since the command's terminal was made.
    listener.resized(this.#currentSize());
  }
}

/**
 * Node's raw mode still makes "\n" into "\r\n", which spoils full-screen programs: the command's own
 * terminal does that already where it is wanted. Leaving raw mode restores it.
 */
function passOutputUnchanged(): void {
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}

function ownStreams(): UserStreams {
  return { input: process.stdin, output: process.stdout, errors: process.stderr };
}
