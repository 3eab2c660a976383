import { createHash } from 'node:crypto';
import type { Digest } from './types.js';

/** The sha256 digest of `bytes`. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Whether `text` is a digest that we can verify (OCI descriptor.md; sha256 is the only one in use). */
export function isDigest(text: string): text is Digest {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** The hexadecimal part. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** Computes a digest and a byte count piece by piece. */
export class Digester {
  readonly #hash = createHash('sha256');
  /** Bytes so far. */
  size = 0;

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.size += bytes.length;
  }

  /** Ends it; to be called once. */
  digest(): Digest {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}
