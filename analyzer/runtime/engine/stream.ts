import type { Duplex, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type Docker from 'dockerode';

/** Everything that `stream` gives. Rejects if the engine goes away in the middle. */
export async function readAll(stream: NodeJS.ReadableStream, limit = Infinity): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/**
 * POST to the engine and read its JSON answer as a stream. For answers that come long after their
 * headers, where the library's own reading would hang for ever if the engine died in between.
 */
export async function postSlowly(
  docker: Docker,
  path: string,
  abortSignal?: AbortSignal,
): Promise<unknown> {
  const answer = await new Promise<Readable>((resolve, reject) => {
    docker.modem.dial(
      {
        path,
        method: 'POST',
        isStream: true,
        ...(abortSignal && { abortSignal }),
        statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
      },
      (error: Error | null, stream: unknown) => {
        if (error) reject(error);
        else resolve(stream as Readable);
      },
    );
  });
  return JSON.parse((await readAll(answer)).toString());
}

/** Split the engine's multiplexed stdout and stderr; resolves at its end. */
export async function demultiplex(
  docker: Docker,
  stream: Duplex,
  onStdout: (chunk: Buffer) => void,
  onStderr: (chunk: Buffer) => void,
): Promise<void> {
  docker.modem.demuxStream(stream, sink(onStdout), sink(onStderr));
  await finished(stream, { writable: false });
}

// All that the library asks of its two outputs.
function sink(write: (chunk: Buffer) => void): NodeJS.WritableStream {
  return { write: (chunk: Buffer) => (write(chunk), true) } as unknown as NodeJS.WritableStream;
}
