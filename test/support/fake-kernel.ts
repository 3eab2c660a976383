import type { Random } from './random.js';

/** A symbol to be in a fake kernel's table. */
export interface FakeSymbol {
  name: string;
  /** Relative to the kernel's start; of per-processor data an address of its own. */
  value: number;
  absolute?: boolean;
  namespace?: string;
}

export const fakeBuildId = 'ab'.repeat(20);

export interface FakeKernel {
  bytes: Uint8Array;
  /** Where in it the table of symbols is. */
  table: number;
}

/** Names made of few words, many of which end as others do. */
export function fakeSymbols(random: Random, count: number, imageSize: number): FakeSymbol[] {
  const words = ['alloc', 'free', 'page', 'work', 'queue', 'on', 'device', 'add', 'x', 'get'];
  const names = new Set<string>();
  while (names.size < count) {
    const length = 1 + random.below(5);
    names.add(
      Array.from({ length }, () => random.pick(words)).join('_') +
        (random.oneIn(3) ? '' : `${random.below(1000)}`),
    );
  }
  return [...names].sort().map((name) => {
    if (random.oneIn(50)) return { name, value: random.below(0x8000), absolute: true };
    const value = random.below(imageSize);
    if (!random.oneIn(30)) return { name, value };
    return { name, value, namespace: random.pick(['CRYPTO', 'module:kvm,kvm-*', 'USB_STORAGE']) };
  });
}

/** The parts of a Linux kernel's image that tell what it is, among noise, for a start at `start`. */
export function fakeKernel(
  random: Random,
  symbols: readonly FakeSymbol[],
  start: bigint,
  options: { size?: number; version?: string; buildId?: string | undefined } = {},
): FakeKernel {
  const { size = 1 << 20, version = '6.1.0-test' } = options;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < size; at += 4)
    if (!random.oneIn(3)) view.setUint32(at, random.word(), true);

  const put = (at: number, text: string) => bytes.set(Buffer.from(`${text}\0`, 'latin1'), at);
  put(0x3000, 'Linux version %s (%s)');
  put(0x4001, `Linux version ${version} (builder@host) (gcc 12) #1 SMP`);
  // A vDSO has a build id of its own.
  put(0x8000, '\x7fELF');
  putNote(bytes, 0x8200, 'cd'.repeat(20));
  const buildId = 'buildId' in options ? options.buildId : fakeBuildId;
  if (buildId !== undefined) putNote(bytes, 0x10204, buildId);

  let strings = 0x20000;
  const known = new Map<string, number>();
  /** As a linker does, a string that another one ends with is not there twice. */
  const place = (text: string): number => {
    const suffix = [...known].find(([other]) => other.endsWith(text));
    if (suffix) return suffix[1] + suffix[0].length - text.length;
    const at = strings;
    put(at, text);
    known.set(text, at);
    strings += text.length + 1;
    return at;
  };
  const nowhere = place('');
  const table = 0x80000 + 4 * random.below(64);
  symbols.forEach(({ name, value, absolute, namespace }, n) => {
    const at = table + 12 * n;
    const target = absolute ? BigInt(value) : start + BigInt(value);
    view.setInt32(at, Number(BigInt.asIntN(32, target - (start + BigInt(at)))), true);
    view.setInt32(at + 4, place(name) - at - 4, true);
    view.setInt32(at + 8, (namespace === undefined ? nowhere : place(namespace)) - at - 8, true);
  });
  return { bytes, table };
}

function putNote(bytes: Uint8Array, at: number, buildId: string): void {
  bytes.set([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0], at);
  bytes.set(Buffer.from(buildId, 'hex'), at + 16);
}
