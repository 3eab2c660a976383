import { VcpuPage } from './read-registers.js';
import type { Vcpu } from './vcpu-threads.js';

/** A thread must prove twice that it runs a vCPU: another one may leave the guest by itself just then. */
const proofs = 2;

/**
 * Fill in the threads of vCPUs that never wait, so that procfs shows no system call of theirs: each of
 * the `busy` threads is kicked, and the vCPU whose registers are stored then is its. `kickSignal` is
 * the signal for a thread, if its hypervisor has one; else the thread is stopped for a moment.
 */
export function matchBusyThreads(
  pid: number,
  vcpus: readonly Vcpu[],
  busy: readonly number[],
  kickSignal: (tid: number) => number | undefined,
): void {
  const unknown = vcpus.filter(({ tid }) => tid === 0);
  const pages = unknown.map((vcpu) => ({ vcpu, page: new VcpuPage(pid, vcpu.fd) }));
  try {
    for (const tid of busy) {
      const open = pages.filter(({ vcpu }) => vcpu.tid === 0);
      const stored = Array.from({ length: proofs }, () => storedByKick(open, tid, kickSignal(tid)));
      const [first] = stored;
      if (first && stored.every((vcpu) => vcpu === first)) first.tid = tid;
    }
  } finally {
    for (const { page } of pages) page.close();
  }
}

/** The one vCPU whose registers are stored when thread `tid` is kicked; undefined if none is, or several are. */
function storedByKick(
  pages: readonly { vcpu: Vcpu; page: VcpuPage }[],
  tid: number,
  signal: number | undefined,
): Vcpu | undefined {
  const [first] = pages;
  if (first === undefined) return undefined;
  for (const { page } of pages) page.arm();
  try {
    first.page.kick(tid, signal, () => pages.some(({ page }) => page.stored));
    const stored = pages.filter(({ page }) => page.stored);
    return stored.length === 1 ? stored[0]?.vcpu : undefined;
  } finally {
    for (const { page } of pages) page.disarm();
  }
}
