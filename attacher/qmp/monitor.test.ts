import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Monitor } from './monitor.js';

it('hangs up where the monitor does not let it in: an open connection would keep the process', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'debloat-monitor-'));
  const path = join(directory, 'qmp');
  const server = createServer((client) => {
    client.write('{"QMP":{}}\n');
    client.once('data', () => client.write('{"error":{"class":"GenericError","desc":"no"}}\n'));
  });
  try {
    await once(server.listen(path), 'listening');
    const connected = once(server, 'connection') as Promise<[Socket]>;
    await expect(Monitor.connect({ path })).rejects.toThrow('refused qmp_capabilities: no');
    const [client] = await connected;
    if (!client.closed) await once(client.resume(), 'close');
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
});
