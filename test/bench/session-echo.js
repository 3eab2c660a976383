// node session-echo.js PID OVERLAY QMP SERIAL COUNT: echo latency of a key in a session's terminal, and on the
// serial line of the same guest (at the socket SERIAL), where `cat` reads; prints both, in milliseconds, as JSON.
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { vmSession } from '../../dist/attacher/session/vm-session.js';

const [pid, overlay, qmp, path, count] = process.argv.slice(2);
/** Between keys, in milliseconds: a quick typist's. */
const pause = () => sleep(40 + Math.random() * 40);

/** A key out, and the next byte that comes back. */
class Echo {
  #arrived = () => undefined;
  arrived() {
    this.#arrived();
  }
  async time(send) {
    const back = new Promise((resolve) => (this.#arrived = resolve));
    const begun = performance.now();
    send();
    await back;
    return performance.now() - begun;
  }
}

const serial = new Echo();
const line = connect(path);
await once(line, 'connect');
line.setNoDelay(true);
line.on('data', () => serial.arrived());

const terminal = new Echo();
const keys = [];
let pressed = () => undefined;
const press = (key) => {
  keys.push(Buffer.from(key));
  pressed();
};
const input = (async function* () {
  for (;;) {
    while (keys.length > 0) yield keys.shift();
    await new Promise((resolve) => (pressed = resolve));
  }
})();
let started;
const isThere = new Promise((resolve) => (started = resolve));
const session = vmSession({
  ...{ pid: Number(pid), overlay, qmp, command: ['cat'], environment: [] },
  makeEnd: () => ({
    ...{ size: { rows: 24, columns: 80 }, input, note: () => undefined, restore: () => undefined },
    write: () => Promise.resolve(terminal.arrived()),
    listen: started,
  }),
  record: () => Promise.resolve(),
  signal: new AbortController().signal,
  cacheDirectory: undefined,
  log: () => undefined,
});
await Promise.race([isThere, session]);
await sleep(500);

const times = { serial: [], terminal: [] };
for (let n = 0; n < Number(count); n++) {
  await pause();
  times.serial.push(await serial.time(() => line.write('x')));
  await pause();
  times.terminal.push(await terminal.time(() => press('x')));
}
line.destroy();
press('\x03');
await session;
console.log(JSON.stringify(times));
process.exit(0);
