import type { Region } from '../memory/mapped-memory.js';
import { ProtocolError } from './protocol.js';

/** Reads the fields of a message’s payload in turn; a message too short or too long is a ProtocolError. */
export class Payload {
  readonly #view: DataView;
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  bits(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** A 64-bit number that must be exact as a JavaScript number. */
  u64(): number {
    const value = Number(this.bits());
    if (!Number.isSafeInteger(value)) throw new ProtocolError(`number ${value} out of range`);
    return value;
  }

  /** A memory region description (“Memory regions description”). */
  region(): Region {
    return {
      guestAddress: this.u64(),
      size: this.u64(),
      userAddress: this.u64(),
      fileOffset: this.u64(),
    };
  }

  /** All that is left. */
  rest(): Uint8Array {
    const rest = this.bytes.subarray(this.#at);
    this.#at = this.bytes.length;
    return rest;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.#at !== this.bytes.length) {
      throw new ProtocolError(`${this.bytes.length - this.#at} bytes too many in a message`);
    }
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.bytes.length) throw new ProtocolError('message too short');
    this.#at = at + length;
    return at;
  }
}
