import type { Duplex } from 'node:stream';

/** The bytes to and from stage 2, however they travel. Nobody is asked for more than they take. */
export interface Channel {
  /** Resolves when there is room for more; never throws: what an ended channel is given is lost. */
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes, or undefined at the end. One call at a time. */
  read(): Promise<Uint8Array | undefined>;
  /** Hang up: stage 2 ends the command, and `read` comes to the end. */
  close(): void;
}

/** A socket to stage 2. Its end may be a reset, where stage 2 did not read all: that is no failure. */
export function streamChannel(stream: Duplex): Channel {
  const chunks = stream[Symbol.asyncIterator]();
  stream.on('error', () => undefined);
  return {
    async write(bytes) {
      if (stream.destroyed || stream.writableEnded || stream.write(bytes)) return;
      await new Promise<void>((resolve) => {
        const done = () => {
          stream.off('drain', done).off('close', done);
          resolve();
        };
        stream.once('drain', done).once('close', done);
      });
    },
    async read() {
      try {
        const next = await chunks.next();
        return next.done === true ? undefined : (next.value as Uint8Array);
      } catch {
        return undefined;
      }
    },
    close() {
      stream.destroy();
    },
  };
}
