import { closeDescriptor } from '../../../native/linux/event.js';
import { send } from '../../../native/linux/unix-socket.js';
import { RegionError } from '../memory/mapped-memory.js';
import type { Backend } from './backend.js';
import { MessageReader, type ClientMessage } from './message-reader.js';
import { encodeNumber, encodeReply, ProtocolError, type Answer } from './protocol.js';

/** Messages acted upon before the queues have their turn. */
const turnLimit = 32;

/** One client: its messages are acted upon in turn and answered. */
export class Connection {
  readonly #reader: MessageReader;

  /** `fd` becomes ours. */
  constructor(
    readonly fd: number,
    private readonly backend: Backend,
    private readonly log: (line: string) => void,
  ) {
    this.#reader = new MessageReader(fd);
  }

  /** Act on the messages that are there; false if the connection is over. */
  receive(): boolean {
    try {
      for (let n = 0; n < turnLimit; n++) {
        const message = this.#reader.next();
        if (message === 'end') return false;
        if (message === undefined) return true;
        this.#actOn(message);
      }
      return true;
    } catch (error) {
      if (!isFromClient(error)) throw error;
      this.log(`connection closed: ${error.message}`);
      return false;
    }
  }

  close(): void {
    this.backend.close();
    this.#reader.close();
    closeDescriptor(this.fd);
  }

  #actOn(message: ClientMessage): void {
    const acknowledge = message.needReply && this.backend.acknowledges;
    let answer: Answer | undefined;
    try {
      answer = this.backend.handle(message);
      if (acknowledge) answer ??= { payload: encodeNumber(0) };
    } catch (error) {
      // What can be refused is refused; a client that does not ask cannot know and must go.
      const refusal = isFromClient(error) && !(error instanceof ProtocolError);
      if (!acknowledge || !refusal) throw error;
      this.log(`refused: ${error.message}`);
      answer = { payload: encodeNumber(1) };
    } finally {
      message.descriptors.splice(0).forEach(closeDescriptor);
    }
    if (answer) this.#reply(message.request, answer);
  }

  #reply(request: number, { payload, descriptor }: Answer): void {
    try {
      send(this.fd, encodeReply(request, payload), descriptor === undefined ? [] : [descriptor]);
    } finally {
      if (descriptor !== undefined) closeDescriptor(descriptor);
    }
  }
}

/** Whether it is the client’s doing: rules broken, or a call that failed on what it sent. */
function isFromClient(error: unknown): error is Error {
  if (error instanceof ProtocolError || error instanceof RegionError) return true;
  return error instanceof Error && 'syscall' in error;
}
