import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { parseListeners, portsOf } from './listening.js';
import { TailBuffer } from './tail-buffer.js';

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1076 1
   1: 0100007F:94A1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7743 1
   2: 020011AC:0051 010011AC:D204 01 00000000:00000000 00:00000000 00000000     0        0 7744 1
`;
const table6 = `  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000
`;

it('finds who listens, and who only for itself', () => {
  expect(parseListeners(table)).toEqual([
    { port: 80, loopback: false },
    { port: 0x94a1, loopback: true },
  ]);
  expect(parseListeners(table6)).toEqual([
    { port: 80, loopback: false },
    { port: 8080, loopback: true },
    { port: 8081, loopback: true },
  ]);
  expect(portsOf([...parseListeners(table6), ...parseListeners(table)])).toEqual([
    80, 8080, 8081, 0x94a1,
  ]);
  expect(parseListeners('')).toEqual([]);
});

it('finds a listener of this machine', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(parseListeners(await readFile('/proc/net/tcp', 'utf8'))).toContainEqual({
    port,
    loopback: true,
  });
  server.close();
});

it('keeps the tail of what is pushed', () => {
  const tail = new TailBuffer(10);
  expect(tail.toString()).toBe('');
  for (let i = 0; i < 1000; i++) tail.push(Buffer.from(`${i} `));
  expect(tail.toString()).toBe('7 998 999 ');
  const exact = new TailBuffer(4);
  exact.push(Buffer.from('abcdefgh'));
  expect(exact.toString()).toBe('efgh');
});
