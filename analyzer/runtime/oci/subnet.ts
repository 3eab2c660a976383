import { randomInt } from 'node:crypto';
import { DebloatError } from '../../errors.js';

/** Four addresses of a link between this machine and one container. */
export interface Subnet {
  host: string;
  container: string;
}

const first = parse('10.0.0.0');
const count = 2 ** 22; // of /30 networks in 10.0.0.0/8
const attempts = 200;

/** A /30 of 10.0.0.0/8 that overlaps none of `taken` ("10.1.0.0/16", "10.2.3.4"); at random, for others pick too. */
export function pickSubnet(taken: readonly string[], random = () => randomInt(count)): Subnet {
  const ranges = taken.map(rangeOf);
  for (let attempt = 0; attempt < attempts; attempt++) {
    const start = first + random() * 4;
    const end = start + 3;
    if (ranges.every((range) => end < range.start || start > range.end)) {
      return { host: format(start + 1), container: format(start + 2) };
    }
  }
  throw new DebloatError("no addresses are free for the container's network", {
    hint: 'use --network host',
  });
}

function rangeOf(network: string): { start: number; end: number } {
  const [address = '', length = '32'] = network.split('/');
  const size = 2 ** (32 - Number(length));
  const start = Math.floor(parse(address) / size) * size;
  return { start, end: start + size - 1 };
}

function parse(address: string): number {
  return address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

function format(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}
