/**
 * Packets of the gdb remote protocol ("Overview" in gdb's manual, appendix E): `$payload#checksum`,
 * each acknowledged by `+`. Payloads are text of one byte per character.
 */

/** A stub's packets are some kilobytes; more than this is no stub. */
const mostBytes = 1 << 20;

function checksum(payload: string): string {
  let sum = 0;
  for (let at = 0; at < payload.length; at++) sum += payload.charCodeAt(at);
  return (sum & 0xff).toString(16).padStart(2, '0');
}

/** The packet for `payload`, which must have none of `$ # } *` in it. */
export function encodePacket(payload: string): string {
  if (/[$#}*]/.test(payload)) throw new RangeError(`a payload cannot be "${payload}"`);
  return `$${payload}#${checksum(payload)}`;
}

/** Undo escapes (`}`) and repetitions (`*`) of a payload. */
function decode(payload: string): string {
  if (!/[}*]/.test(payload)) return payload;
  let text = '';
  for (let at = 0; at < payload.length; at++) {
    const character = payload[at] ?? '';
    if (character === '}') text += String.fromCharCode(payload.charCodeAt(++at) ^ 0x20);
    else if (character === '*') text += (text.at(-1) ?? '').repeat(payload.charCodeAt(++at) - 29);
    else text += character;
  }
  return text;
}

/** Cuts what a stub sends into payloads. */
export class PacketReader {
  #rest = '';

  /** The payloads that are complete with `bytes`. Throws RangeError if this is not the protocol. */
  push(bytes: Uint8Array): string[] {
    this.#rest += Buffer.from(bytes).toString('latin1');
    const payloads: string[] = [];
    for (;;) {
      const start = this.#rest.indexOf('$');
      // Acknowledgements are between packets; the stream below is reliable, so they say nothing new.
      if (start < 0) this.#rest = '';
      const end = this.#rest.indexOf('#', start);
      if (start < 0 || end < 0 || this.#rest.length < end + 3) break;
      const payload = this.#rest.slice(start + 1, end);
      if (this.#rest.slice(end + 1, end + 3).toLowerCase() !== checksum(payload)) {
        throw new RangeError('a packet with a wrong checksum');
      }
      payloads.push(decode(payload));
      this.#rest = this.#rest.slice(end + 3);
    }
    if (this.#rest.length > mostBytes) throw new RangeError('a packet without an end');
    return payloads;
  }
}
