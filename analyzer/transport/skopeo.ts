import { execa } from 'execa';
import { DebloatError } from '../errors.js';
import { diskFull } from '../image/disk-full.js';

/** What went wrong at a registry, by what skopeo (containers/image) says. */
const complaints: readonly (readonly [RegExp, string, string])[] = [
  [
    /unauthorized|authentication required|invalid username\/password|denied: requested access|403 \(?Forbidden/i,
    'the registry refuses access to {image}',
    'log in (docker login HOST, or skopeo login HOST) with an account that may read it; the image may also not exist',
  ],
  [
    /manifest unknown|name unknown|not found|\b404\b/i, // not of a port
    'there is no image {image}',
    'check the name and the tag',
  ],
  [
    /connection refused/i,
    'no registry answers for {image}: connection refused',
    'check host and port, and that the registry runs',
  ],
  [
    /no such host|name resolution|server misbehaving|name or service not known/i,
    'the host of {image} is not known',
    'check the name; a bare name needs the internet (docker.io)',
  ],
  [
    /server gave HTTP response to HTTPS client/i,
    'the registry of {image} speaks plain HTTP',
    'use --insecure if you trust the network in between',
  ],
  [
    /x509|certificate|tls: /i,
    "the registry's TLS certificate for {image} cannot be trusted",
    'install its CA below /etc/containers/certs.d/HOST/, or use --insecure',
  ],
  [
    /i\/o timeout|deadline exceeded|network is unreachable|no route to host|Client\.Timeout/i,
    'the registry of {image} cannot be reached',
    'check the network and proxy settings',
  ],
  [
    /toomanyrequests|rate limit/i,
    "the registry's rate limit for {image} is used up",
    'log in, or try again later',
  ],
  [
    /digest did not match|digest mismatch|unexpected EOF|error decompressing/i,
    'the registry sent {image} damaged',
    'try again; if it stays so, push the image again',
  ],
];

export interface SkopeoOptions {
  /** How errors call the image. */
  image: string;
  /** Where it writes, and bytes that it needs there, for the message on a full disk. */
  writes?: { dir: string; size: number };
  signal?: AbortSignal | undefined;
}

/**
 * Run skopeo; returns its stdout.
 * @throws DebloatError with one clear sentence for every way in which registries refuse.
 */
export async function skopeo(args: readonly string[], options: SkopeoOptions): Promise<Buffer> {
  const result = await execa('skopeo', args, {
    encoding: 'buffer',
    stripFinalNewline: false,
    stdin: 'ignore',
    reject: false,
    ...(options.signal && { cancelSignal: options.signal }),
  });
  options.signal?.throwIfAborted();
  if (!result.failed) return Buffer.from(result.stdout);
  if (result.code === 'ENOENT') {
    throw new DebloatError('skopeo is not installed; images of registries are read with it', {
      hint: 'install it: apt install skopeo (or dnf, apk, brew)',
    });
  }
  const stderr = Buffer.from(result.stderr).toString('utf8');
  if (/no space left on device|disk quota exceeded/i.test(stderr) && options.writes) {
    throw await diskFull(options.writes.dir, options.writes.size, result);
  }
  throw explain(stderr, options.image);
}

/** What skopeo's stderr means for `image`. */
export function explain(stderr: string, image: string): DebloatError {
  const [, sentence, hint] = complaints.find(([pattern]) => pattern.test(stderr)) ?? [];
  const detail = lastMessage(stderr);
  const cause = new Error(detail);
  if (sentence !== undefined && hint !== undefined) {
    return new DebloatError(sentence.replace('{image}', image), { hint, cause });
  }
  return new DebloatError(`skopeo cannot read ${image}: ${detail}`, { cause });
}

// level=fatal msg="… : …": the words after the last quoted prefix are what matters.
function lastMessage(stderr: string): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  const quoted = /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  return (quoted ?? line).replaceAll('\\"', '"');
}
