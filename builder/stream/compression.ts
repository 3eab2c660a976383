import { createGzip } from 'node:zlib';
import { spawn } from 'node:child_process';
import { Duplex, Transform } from 'node:stream';
import { DebloatError } from '../../analyzer/errors.js';
import type { Compression } from '../types.js';

/** OCI media type of a layer by its compression (OCI image spec, layer.md). */
export const layerMediaTypes: Record<Compression, string> = {
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  none: 'application/vnd.oci.image.layer.v1.tar',
};

/**
 * Streams that compress a layer, the same bytes in every run: gzip by Node's own zlib without time
 * or system in the header, zstd by the `zstd` program. An empty list for no compression.
 */
export function compressor(compression: Compression): Duplex[] {
  switch (compression) {
    case 'none':
      return [];
    case 'gzip':
      // level 5: 1 % larger than level 6 in two thirds of its time (docs/decisions)
      return [createGzip({ level: 5, memLevel: 9, chunkSize: 256 * 1024 }), neutralGzipHeader()];
    case 'zstd':
      return [program('zstd', ['-q', '-c', '-3', '-T2', '--no-progress'])];
  }
}

/** RFC 1952: byte 9 names the system that compressed; 255 is "unknown". zlib builds differ here. */
function neutralGzipHeader(): Transform {
  let at = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      if (at <= 9 && at + chunk.length > 9) chunk[9 - at] = 255;
      at += chunk.length;
      done(null, chunk);
    },
  });
}

function program(tool: string, args: string[]): Duplex {
  const child = spawn(tool, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const stream = Duplex.from({ writable: child.stdin, readable: child.stdout });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  child.on('error', (cause) =>
    stream.destroy(
      new DebloatError(`cannot run ${tool}: ${cause.message}`, {
        hint: `install ${tool}, or choose gzip compression`,
        cause,
      }),
    ),
  );
  child.on('exit', (code, signal) => {
    if (code === 0) return;
    const how = signal ?? `exit code ${String(code)}`;
    stream.destroy(new DebloatError(`${tool} ended with ${how}: ${said.trim()}`));
  });
  stream.on('close', () => child.kill());
  return stream;
}
