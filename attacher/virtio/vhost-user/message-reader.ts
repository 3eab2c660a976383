import { closeDescriptor } from '../../../native/linux/event.js';
import { receive, type Received } from '../../../native/linux/unix-socket.js';
import { decodeHeader, headerLength, ProtocolError, type Header } from './protocol.js';

/** The most descriptors that one message may bring. */
const mostDescriptors = 8;

/** One whole message. Whoever takes `descriptors` out of it has to close them. */
export interface ClientMessage extends Header {
  payload: Uint8Array;
  descriptors: number[];
}

/** Puts messages together from a stream socket that never blocks. */
export class MessageReader {
  #bytes = new Uint8Array(0);
  #header: Header | undefined;
  #descriptors: number[] = [];

  constructor(
    private readonly fd: number,
    private readonly receiveFrom: (fd: number, length: number) => Received | undefined = receive,
  ) {}

  /**
   * The next message; undefined if it is not all there yet, 'end' if the client has gone. Reads no
   * further than that message’s end, so that descriptors belong to the message they come with.
   */
  next(): ClientMessage | 'end' | undefined {
    for (;;) {
      const wanted = this.#header ? this.#header.length : headerLength;
      if (this.#bytes.length < wanted) {
        const received = this.receiveFrom(this.fd, wanted - this.#bytes.length);
        if (received === undefined) return undefined;
        this.#descriptors.push(...received.descriptors);
        if (received.truncated || this.#descriptors.length > mostDescriptors) {
          throw new ProtocolError('too many file descriptors in a message');
        }
        if (received.bytes.length === 0) return 'end';
        this.#bytes = Buffer.concat([this.#bytes, received.bytes]);
        continue;
      }
      if (this.#header === undefined) {
        this.#header = decodeHeader(this.#bytes);
        this.#bytes = new Uint8Array(0);
        continue;
      }
      const message = {
        ...this.#header,
        payload: this.#bytes,
        descriptors: this.#descriptors.splice(0),
      };
      this.#header = undefined;
      this.#bytes = new Uint8Array(0);
      return message;
    }
  }

  /** Close descriptors of a message that never became whole. */
  close(): void {
    this.#descriptors.splice(0).forEach(closeDescriptor);
  }
}
