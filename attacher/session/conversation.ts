import { DebloatError } from '../../analyzer/errors.js';
import {
  inputEndFrame,
  inputFrames,
  resizeFrame,
  SessionDecoder,
  settingsFrames,
  signalFrame,
  type SessionEvent,
  type SessionSettings,
} from '../guest/session-frames.js';
import { errnoReason } from '../../native/linux/system-error.js';
import type { Channel } from './channel.js';
import type { UserEnd } from './user-end.js';

/** How the command ended, as a shell says it. */
export interface SessionEnd {
  readonly code: number;
  /** What killed it. */
  readonly signal?: number;
  /** Why it was not even started: the reason of a code of 126 or 127. */
  readonly refusal?: string;
}

/** Stage 2 could not start the command: which step failed, and its errno. */
export class SessionNotStarted extends DebloatError {
  constructor(readonly failure: { readonly what: string; readonly errno: number }) {
    super(`The session could not be started: ${sentenceOf(failure)}.`);
  }
}

/** What is lost when the stream ends without a word of the command's end. */
export type Lost = () => DebloatError;

const lostSession: Lost = () => new DebloatError('The session is lost: it ended without a word.');

/**
 * Have stage 2 at the other end of `channel` run `settings.command`, with `user` at its standard
 * streams, until it ends. Throws SessionNotStarted if stage 2 could not start it, a DebloatError if the stream ends
 * before (what `lost` says then), or `signal` aborts before the user's signals go to the command. The channel is closed and the user's terminal restored, whatever
 * happens.
 */
export async function converse(
  channel: Channel,
  settings: Omit<SessionSettings, 'terminal'>,
  user: UserEnd,
  { lost = lostSession, signal }: { lost?: Lost; signal?: AbortSignal } = {},
): Promise<SessionEnd> {
  const hangUp = () => channel.close();
  signal?.addEventListener('abort', hangUp, { once: true });
  try {
    signal?.throwIfAborted();
    const terminal = user.size && { terminal: user.size };
    await channel.write(settingsFrames({ ...settings, ...terminal }));
    return await new Conversation(channel, user, lost).run();
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener('abort', hangUp);
    user.restore();
    channel.close();
  }
}

/** "no-such-command: no such file or directory" */
export function sentenceOf({ what, errno }: { what: string; errno: number }): string {
  return errno === 0 ? what : `${what}: ${errnoReason(errno)}`;
}

class Conversation {
  readonly #decoder = new SessionDecoder();
  #started = false;
  #gone = false;
  #end: SessionEnd | undefined;
  #failure: { what: string; errno: number } | undefined;

  constructor(
    readonly channel: Channel,
    readonly user: UserEnd,
    readonly lost: Lost,
  ) {}

  async run(): Promise<SessionEnd> {
    for (;;) {
      const bytes = await this.channel.read();
      if (bytes === undefined) break;
      for (const event of this.#decoder.push(bytes)) await this.#take(event);
      if (this.#end) return this.#end;
    }
    if (this.#failure !== undefined) throw new SessionNotStarted(this.#failure);
    // Whoever ends the session is not told that it is lost.
    if (this.#gone) return { code: 129, signal: 1 };
    throw this.lost();
  }

  async #take(event: SessionEvent): Promise<void> {
    switch (event.type) {
      case 'output':
      case 'errors':
        return this.user.write(event.type, event.bytes);
      case 'started':
        this.#begin();
        return;
      case 'exit': {
        const { code, signal } = event;
        const killed = signal === undefined ? {} : { signal };
        const refused = this.#failure === undefined ? {} : { refusal: sentenceOf(this.#failure) };
        this.#end = { code, ...killed, ...refused };
        return;
      }
      case 'failed':
        this.#failure = event;
        return;
      case 'note':
        this.user.note(sentenceOf(event));
        return;
    }
  }

  /** From here on the user's input, sizes and signals go to the command. */
  #begin(): void {
    if (this.#started) return;
    this.#started = true;
    this.user.listen({
      resized: (size) => this.#send(resizeFrame(size)),
      signalled: (signal) => this.#send(signalFrame(signal)),
      gone: () => {
        this.#gone = true;
        this.channel.close();
      },
    });
    void this.#feed();
  }

  #send(bytes: Uint8Array): void {
    void this.channel.write(bytes);
  }

  async #feed(): Promise<void> {
    try {
      for await (const bytes of this.user.input) await this.channel.write(inputFrames(bytes));
    } catch {
      // An input that cannot be read any more has ended.
    }
    await this.channel.write(inputEndFrame());
  }
}
