import { readFileSync, writeFileSync } from 'node:fs';

const setting = '/proc/sys/vm/nr_hugepages';

function field(name: string): number {
  return Number(
    new RegExp(`^${name}: *(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1],
  );
}

/** Whether this machine lets us set pages of 2 MiB aside: in a container they may be the host's to give. */
export const canReserveHugePages = (() => {
  try {
    writeFileSync(setting, readFileSync(setting));
    return true;
  } catch {
    return false;
  }
})();

/**
 * Set `count` free pages of 2 MiB aside, beside those that others have; when disposed of, as many are
 * given back. Throws where there are not so many.
 */
export function reserveHugePages(count: number): Disposable & { pages: number } {
  const add = (more: number) =>
    writeFileSync(setting, `${Math.max(0, field('HugePages_Total') + more)}`);
  const available = () => field('HugePages_Free') - field('HugePages_Rsvd');
  const more = Math.max(0, count - available());
  add(more);
  const pages = available();
  if (pages >= count) return { pages, [Symbol.dispose]: () => add(-more) };
  add(-more);
  throw new Error(`${count} huge pages are needed, and this machine has memory for ${pages} only`);
}

/** Bytes of the anonymous memory of process `pid` that lie in huge pages which the kernel made itself. */
export function transparentHugeBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^AnonHugePages: *(\d+) kB/m.exec(rollup)?.[1]) * 1024;
}
