import { constants } from 'node:os';
import { DebloatError } from '../../errors.js';

// As glibc has them (signal(7)): the kernel's first two real-time signals are its own.
const realTimeMin = 34;
const realTimeMax = 64;

/** The number of a signal written as in STOPSIGNAL: "SIGQUIT", "QUIT", "SIGRTMIN+3", "3". */
export function signalNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const bare = name.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(bare);
  if (realTime) {
    const [, base, sign, offset = '0'] = realTime;
    const from = base === 'MIN' ? realTimeMin : realTimeMax;
    return from + (sign === '-' ? -1 : 1) * Number(offset);
  }
  const number = new Map<string, number>(Object.entries(constants.signals)).get(`SIG${bare}`);
  if (number === undefined) throw new DebloatError(`"${name}" is not a signal`);
  return number;
}
