import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';

export interface FakeMonitor {
  path: string;
  /** The commands that came, in their order, without `qmp_capabilities`. */
  commands: { name: string; parameters: Record<string, unknown> }[];
  close: () => void;
}

/** What a fake answers: a result, or an Error for a refusal; events are sent after the answer. */
export interface FakeAnswer {
  result: unknown;
  events?: { event: string; data: Record<string, unknown> }[];
}

/** A monitor that speaks QEMU's machine protocol (docs/interop/qmp-spec) and answers as it is told. */
export async function fakeMonitor(
  path: string,
  answer: (name: string, parameters: Record<string, unknown>) => FakeAnswer,
): Promise<FakeMonitor> {
  const commands: FakeMonitor['commands'] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const say = (message: unknown) => socket.write(`${JSON.stringify(message)}\r\n`);
    say({ QMP: { version: {}, capabilities: [] } });
    let rest = '';
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        const lines = `${rest}${chunk.toString()}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const { execute, arguments: given = {} } = JSON.parse(line) as {
            execute: string;
            arguments?: Record<string, unknown>;
          };
          if (execute === 'qmp_capabilities') {
            say({ return: {} });
            continue;
          }
          commands.push({ name: execute, parameters: given });
          const { result, events = [] } = answer(execute, given);
          say(
            result instanceof Error
              ? { error: { class: 'GenericError', desc: result.message } }
              : { return: result },
          );
          events.forEach(say);
        }
      });
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    ...{ path, commands },
    close: () => {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}
