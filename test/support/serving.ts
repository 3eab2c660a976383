import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** `debloat serve` with these arguments, ready for clients; its counts are JSON. Fails with what it said. */
export async function serveImage(
  image: string,
  socket: string,
  args: string[] = [],
): Promise<ChildProcess> {
  const server = spawn(
    process.execPath,
    [main, 'serve', image, '--socket', socket, '--format', 'json', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let told = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString();
      if (told.includes('serving ')) resolve();
    });
    server.once('close', () => reject(new Error(told)));
  });
  return server;
}

/** End a server as a user does; what it counted. */
export async function stopServing(server: ChildProcess): Promise<Record<string, number>> {
  let output = '';
  server.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const closed = once(server, 'close');
  server.kill('SIGTERM');
  await closed;
  return JSON.parse(output) as Record<string, number>;
}
