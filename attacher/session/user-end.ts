import type { TerminalSize } from '../guest/session-frames.js';

/** The user's end of a session: a terminal, pipes, or a buffer. */
export interface UserEnd {
  /** Set where the command shall get a terminal. */
  readonly size?: TerminalSize | undefined;
  /** What the command reads; read no faster than it does. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when there is room for more. */
  write(to: 'output' | 'errors', bytes: Uint8Array): Promise<void>;
  /** What went another way than usual, for people. */
  note(line: string): void;
  /** Begin to report; from now on it is the command that gets the user's signals. */
  listen(listener: UserListener): void;
  /** Everything of the user's as it was before; may be called several times. */
  restore(): void;
}

export interface UserListener {
  resized(size: TerminalSize): void;
  /** For the command's process group. */
  signalled(signal: number): void;
  /** The user has gone, or wants all of it to end. */
  gone(): void;
}

/** Nothing to read, and what is written is kept. */
export class CapturedEnd implements UserEnd {
  readonly input = (async function* () {})();
  readonly notes: string[] = [];
  readonly #bytes = { output: [] as Uint8Array[], errors: [] as Uint8Array[] };
  #size = 0;
  #listener: UserListener | undefined;

  /** `most`: bytes that are kept of both outputs together; with more the command is hung up. */
  constructor(
    readonly most: number,
    readonly signal?: AbortSignal,
  ) {}

  get output(): Buffer {
    return Buffer.concat(this.#bytes.output);
  }

  get errors(): Buffer {
    return Buffer.concat(this.#bytes.errors);
  }

  get overflowed(): boolean {
    return this.#size > this.most;
  }

  write(to: 'output' | 'errors', bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length;
    if (this.overflowed) this.#listener?.gone();
    else this.#bytes[to].push(Uint8Array.from(bytes));
    return Promise.resolve();
  }

  note(line: string): void {
    this.notes.push(line);
  }

  readonly #aborted = (): void => this.#listener?.gone();

  listen(listener: UserListener): void {
    this.#listener = listener;
    if (this.signal?.aborted) listener.gone();
    else this.signal?.addEventListener('abort', this.#aborted, { once: true });
  }

  restore(): void {
    this.signal?.removeEventListener('abort', this.#aborted);
  }
}
