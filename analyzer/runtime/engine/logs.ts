import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { TailBuffer } from '../tail-buffer.js';
import { engineRequest } from './failure.js';
import { demultiplex } from './stream.js';

const lines = 1000;

/** The last lines (at most 64 KiB) that a container wrote to stdout and stderr, in order. */
export async function containerLogs(docker: Docker, id: string): Promise<string> {
  const multiplexed = await engineRequest(
    "read the container's log",
    docker.getContainer(id).logs({ stdout: true, stderr: true, follow: false, tail: lines }),
  );
  const tail = new TailBuffer();
  const stream = new PassThrough();
  const read = demultiplex(
    docker,
    stream,
    (chunk) => tail.push(chunk),
    (chunk) => tail.push(chunk),
  );
  stream.end(multiplexed);
  await read;
  return tail.toString();
}
