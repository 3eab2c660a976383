import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { closeDescriptor } from '../../native/linux/event.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { pause } from '../../native/linux/pause.js';
import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { RemoteMemory } from '../../native/linux/remote-memory.js';
import { TracedThread } from '../../native/linux/traced-thread.js';
import type { PhysicalMemory } from '../guest/index.js';
import { callOf } from '../hypervisor/procfs.js';
import { layoutArena, pageSize } from './arena.js';
import type { Gate } from './inject/gate.js';
import { judge } from './enter-stage.js';
import { findGadgets } from './inject/gadgets.js';
import { StoppedThread, type Injection } from './inject/stopped-thread.js';
import { VcpuCalls } from './kvm/vcpu-calls.js';
import type { AttachPlan } from './prepare.js';
import { createArena, createEvents } from './resources.js';
import { closeIn, unmapIn } from './system-calls.js';

/** fstat(2) of x86-64, and what it answers. */
const NR_fstat = 5;
const statSize = 144;

const NR_read = 0;
/** What a read that was interrupted gives to the program: it begins anew. */
const EINTR = -4n;
/** How often it is looked at, a millisecond apart, until it has started. */
const mostLooks = 300;
/** A thread that has left the gate is soon back in its read, if it is let: microseconds between two tries. */
const betweenTries = 200;
const mostTries = 500;

const rounds = 4;
/** Looks at a processor cost next to nothing here, for nobody stands. */
const looksAtProcessor = 50;
const callsEach = 10;

/**
 * Put an arena into a process of our own that nobody misses, and take it out again, so that the engine
 * has compiled this code before a hypervisor stands still for it: what runs for the first time takes
 * ten times as long.
 */
export async function rehearse(gateCode: Uint8Array | undefined): Promise<void> {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const pid = child.pid ?? 0;
    for (let looks = 0; !isReading(pid); looks++) {
      if (looks === mostLooks) return;
      await sleep(1);
    }
    using stage = new Stage(pid);
    for (let round = 0; round < rounds; round++) stage.play(gateCode);
  } catch {
    // A rehearsal that fails costs some milliseconds later, no more.
  } finally {
    child.kill('SIGKILL');
  }
}

/** The same with how a processor is looked at, and sent: by answers that nobody gave. */
export function rehearseEntrance(
  memory: PhysicalMemory,
  { registers, entry }: Pick<AttachPlan, 'registers' | 'entry'>,
): void {
  const calls = new VcpuCalls(
    { ask: (asked) => asked.map(({ parameters }) => parameters ?? new Uint8Array()) },
    0,
  );
  for (let look = 0; look < looksAtProcessor; look++) {
    const state = { ...calls.state(), ...registers };
    judge(memory, state, entry.address);
    calls.sendTo(state, state.rip, state.rflags);
  }
}

/** Whether it has come so far that it waits for its input: before, it may not even have its code. */
function isReading(pid: number): boolean {
  const call = callOf(pid, pid);
  return call?.number === NR_read && call.arguments[0] === 0;
}

/** A process in the place of a hypervisor. */
class Stage implements Disposable {
  gate: Gate | undefined;
  readonly #injection: Injection;
  readonly #pidfd: number;

  constructor(pid: number) {
    const memory = new RemoteMemory(pid);
    const gadgets = findGadgets(readMemoryMap(pid), (at, length) => memory.read(at, length));
    if (gadgets === undefined) throw new RangeError('it has no code to make calls by');
    this.#injection = { pid, memory, gadgets, filtered: false };
    this.#pidfd = openProcess(pid);
  }

  take(fd: number): number {
    return takeDescriptor(this.#pidfd, fd);
  }

  /** An arena in and out, in the order of an attach and a detach. */
  play(gateCode: Uint8Array | undefined): void {
    const request = {
      ...{ id: 'rehearsal', owner: { pid: process.pid, started: '' }, image: '', deviceId: 0 },
      ...{ layout: layoutArena(pageSize), guestAddresses: [], virtualAddress: 0n, takenSlots: [] },
      ...{ lines: () => [], gateCode, onStep: () => undefined },
    };
    const { arena, events } = this.#whileStopped((thread) => {
      const arena = createArena(this, thread, request);
      thread.deputize();
      return { arena, events: createEvents(this, thread, arena, request.onStep) };
    });
    const { file, record } = arena;
    this.#whileStopped((thread) => {
      if (this.gate) thread.passTo(this.gate);
      for (let call = 0; call < callsEach; call++) {
        const parameters = new Uint8Array(statSize);
        const fstat = {
          name: 'fstat',
          number: NR_fstat,
          args: [0, 'pointer' as const],
          parameters,
        };
        thread.ask([fstat, fstat]);
      }
      thread.deputize();
      for (const fd of Object.values(record.events ?? {})) closeIn(thread, fd);
    });
    this.gate = undefined;
    this.#whileStopped((thread) => unmapIn(thread, record.userAddress, file.bytes.length));
    for (const fd of Object.values(events)) closeDescriptor(fd);
    file[Symbol.dispose]();
  }

  #whileStopped<T>(act: (thread: StoppedThread) => T): T {
    const { pid } = this.#injection;
    for (let tries = 0; tries < mostTries; tries++) {
      const traced = TracedThread.stop(pid, pid, { suspendSeccomp: false });
      const saved = traced.registers();
      if (saved.get('orig_rax') !== BigInt(NR_read)) {
        traced.resume();
        pause(betweenTries);
        continue;
      }
      const interrupted = saved.with({ rax: EINTR });
      const thread = StoppedThread.of(traced, this.#injection, interrupted);
      try {
        return act(thread);
      } finally {
        thread.resume();
      }
    }
    throw new RangeError('it reads no more');
  }

  [Symbol.dispose](): void {
    this.#injection.memory.close();
    closeDescriptor(this.#pidfd);
  }
}
