import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { encodePacket, PacketReader } from './packet.js';
import { neededRegisters, replaceRegisters } from './register-layout.js';
import { trySend, type Entrance } from './send.js';
import { GdbStub, type StubLook } from './stub.js';

/** How often: a function that was called some times is no longer compiled while the machine stands. */
const rounds = { look: 2, sending: 5 };

/**
 * Look at a machine that there is not. A machine stands for as long as we take to ask its stub, and
 * most of that is what our own code needs the first times that it runs.
 */
export async function rehearseLook(): Promise<void> {
  await withPlayed('', rounds.look, async (path) => {
    await GdbStub.open({ path }).look(true);
  });
}

/** Send a processor there of a machine that there is not, whose stub tells what a real one has told. */
export async function rehearseSending(
  { layout, answer }: StubLook,
  entrance: Entrance,
): Promise<void> {
  const inKernel = [
    ['rip', entrance.schedule],
    ['cs', 0x10n],
    ['eflags', 0x202n],
  ] as const;
  await withPlayed(replaceRegisters(layout, answer, inKernel), rounds.sending, async (path) => {
    const stub = GdbStub.open({ path }, layout);
    if (!(await trySend(stub, await stub.registers(), entrance))) await stub.detach();
  });
}

async function withPlayed(
  registers: string,
  times: number,
  act: (path: string) => Promise<void>,
): Promise<void> {
  const server = createServer((socket) => play(socket, registers));
  // A name among the abstract Unix sockets (unix(7)): nothing is left of it.
  const path = `\0debloat-rehearsal-${randomBytes(8).toString('hex')}`;
  server.listen(path);
  await once(server, 'listening');
  try {
    for (let round = 0; round < times; round++) await act(path);
  } finally {
    server.close();
  }
}

/** A stub whose processor is always the same. */
function play(socket: Socket, registers: string): void {
  const reader = new PacketReader();
  socket.on('error', () => undefined); // whoever was there has gone
  socket.on('data', (bytes) => {
    for (const payload of reader.push(bytes)) {
      socket.write(encodePacket(answerTo(payload, registers)), 'latin1');
    }
  });
}

function answerTo(payload: string, registers: string): string {
  if (payload === 'g') return registers;
  if (payload.includes(':i386-64bit.xml:0,')) return `l${description}`;
  return payload.startsWith('q') ? 'l' : 'OK';
}

const description = neededRegisters.map((name) => `<reg name="${name}" bitsize="64"/>`).join('');
