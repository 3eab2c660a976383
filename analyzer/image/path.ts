/**
 * Paths inside an image.
 *
 * An image path is an absolute, normalised string ("/usr/bin/nginx", "/" for the root). File names
 * are bytes, not text: a byte that is not valid UTF-8 becomes a lone surrogate U+DC80..U+DCFF (the
 * "surrogateescape" of PEP 383), which JSON carries as \udcXX and which round-trips exactly.
 */
export type ImagePath = string;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes of a file name or path as a string; exact inverse of {@link pathToBytes}. */
export function pathFromBytes(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return decodeEscaping(bytes);
  }
}

/** The bytes that {@link pathFromBytes} was given. */
export function pathToBytes(path: string): Buffer {
  if (!/[\udc80-\udcff]/.test(path)) return Buffer.from(path, 'utf8');
  const parts: Buffer[] = [];
  let start = 0;
  for (let i = 0; i < path.length; i++) {
    const unit = path.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) {
      i++; // a proper surrogate pair: its low half may look like an escaped byte
    } else if (unit >= 0xdc80 && unit <= 0xdcff) {
      parts.push(Buffer.from(path.slice(start, i), 'utf8'), Buffer.from([unit - 0xdc00]));
      start = i + 1;
    }
  }
  parts.push(Buffer.from(path.slice(start), 'utf8'));
  return Buffer.concat(parts);
}

function decodeEscaping(bytes: Uint8Array): string {
  let text = '';
  let i = 0;
  while (i < bytes.length) {
    const length = validSequenceLength(bytes, i);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + (bytes[i] ?? 0));
      i += 1;
    } else {
      text += decoder.decode(bytes.subarray(i, i + length));
      i += length;
    }
  }
  return text;
}

function validSequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  const length =
    lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  if (at + length > bytes.length) return 0;
  try {
    decoder.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}

/** The directory that holds `path`; the root holds itself. */
export function parentOf(path: ImagePath): ImagePath {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** The last component of `path`; empty for the root. */
export function baseName(path: ImagePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** `name` inside directory `dir`. */
export function joinPath(dir: ImagePath, name: string): ImagePath {
  return dir === '/' ? `/${name}` : `${dir}/${name}`;
}

/**
 * An absolute image path from `path`, taken relative to `from` where it is not absolute; `.`, `..`
 * and empty components are resolved textually and `..` stops at the root, as it does in a container.
 */
export function normalizePath(path: string, from: ImagePath = '/'): ImagePath {
  const parts: string[] = [];
  for (const part of (path.startsWith('/') ? path : `${from}/${path}`).split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}
