/** Keeps the last `limit` bytes of what is pushed into it. */
export class TailBuffer {
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(readonly limit = 64 * 1024) {}

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    // Cut only when twice too large, so that the work per byte stays constant.
    if (this.#size > 2 * this.limit) this.#chunks = [this.#last()];
  }

  toString(): string {
    return this.#last().toString('utf8');
  }

  #last(): Buffer {
    const all = Buffer.concat(this.#chunks);
    const last = all.subarray(Math.max(0, all.length - this.limit));
    this.#size = last.length;
    return last;
  }
}
