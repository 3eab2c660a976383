import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import type { PhysicalMemory } from '../guest/index.js';
import { isIdle, type Vcpu } from '../hypervisor/index.js';
import { knowsTable, sharesTable } from './address-space.js';
import { VcpuCalls, type VcpuState } from './kvm/vcpu-calls.js';
import type { HijackTarget } from './target.js';

const RFLAGS_IF = 0x200n;
const EFER_LMA = 0x400n;

/** How long to look for a good moment, in milliseconds. */
const patience = 15_000;

/** So long only processors that seem to wait in HLT are stopped, in milliseconds: those are where we want them. */
const pickiness = 100;

/** Time, in milliseconds, and looks after which a guest that never translates by our table is another one. */
const strangePatience = 2000;
const strangeLooks = 20;

/** The guest that was attached to is no more: its machine was reset, or another kernel was started. */
export class GuestStartedAnew extends DebloatError {
  constructor() {
    super('The guest was started anew: what it had of ours is gone.');
  }
}

export interface Entrance {
  /** Where to send a processor; the stage returns to where it was. */
  entry: bigint;
  /** Guest-physical address of the page-table entry that maps the stage. */
  entryAddress: number;
  /** Tell the stage where the processor was. */
  setResume: (rip: bigint, flags: bigint) => void;
  onStep: (step: string) => void;
}

/**
 * Send one processor of the guest through the stage, at a moment when a hardware interrupt could have
 * come in the kernel too: in HLT, or in kernel code with interrupts enabled. Otherwise let it run on
 * and try again. Resolves with how many tries it took; throws DebloatError when there was none.
 */
export async function enterStage(target: HijackTarget, entrance: Entrance): Promise<number> {
  const begun = performance.now();
  const end = begun + patience;
  const strangeFrom = begun + strangePatience;
  let running = false;
  const seen = { looks: 0, familiar: false };
  for (let tries = 1; ; tries++) {
    const isPicky = performance.now() < begun + pickiness;
    for (const vcpu of target.vcpus) {
      if (isPicky && !isIdle(target.pid, vcpu)) continue;
      const sent = target.tryStopped(vcpu, (thread) => {
        const calls = new VcpuCalls(thread, vcpu.fd);
        const state = calls.state();
        seen.looks++;
        const { isGood, isFamiliar } = judge(target.memory, state, entrance.entryAddress);
        seen.familiar ||= isFamiliar;
        if (!isGood) return false;
        entrance.setResume(state.rip, state.rflags);
        entrance.onStep('send a processor into the stage');
        calls.sendTo(state, entrance.entry, state.rflags & ~RFLAGS_IF);
        return true;
      });
      if (sent?.result === true) return tries;
      running ||= sent !== undefined;
    }
    if (!seen.familiar && seen.looks >= strangeLooks && performance.now() > strangeFrom) {
      throw new GuestStartedAnew();
    }
    if (performance.now() > end) {
      throw new DebloatError(
        running
          ? 'No processor of the guest was ever in its kernel with interrupts enabled.'
          : `No processor of the virtual machine ${target.pid} is running.`,
        {
          hint: running
            ? 'all of them are busy in programs: try again, or when the guest is less busy'
            : 'it is paused, or on its way elsewhere: let it go on, and try again',
        },
      );
    }
    // Not in step with the guest's timer: else the same moment of its work would be seen again and again.
    await sleep(1 + Math.random() * 4);
  }
}

/** Whether a processor may be sent into the stage as it is, and whether the guest is the one that we know. */
export function judge(
  memory: PhysicalMemory,
  state: VcpuState,
  entryAddress: number,
): { isGood: boolean; isFamiliar: boolean } {
  const shares = isLong(state) && sharesTable(memory, state, entryAddress);
  return {
    isGood: shares && isInterruptible(state),
    isFamiliar: shares || (isLong(state) && knowsTable(memory, state, entryAddress)),
  };
}

function isLong({ efer }: VcpuState): boolean {
  return (efer & EFER_LMA) !== 0n;
}

function isInterruptible(state: VcpuState): boolean {
  return (
    (state.halted || state.runnable) &&
    state.level === 0 &&
    (state.rflags & RFLAGS_IF) !== 0n &&
    isLong(state) &&
    !state.eventUnderWay
  );
}

/** Whether any processor is at an address from `start` up to `end`. Each is stopped for a look. */
export async function isAnyoneInside(
  target: HijackTarget,
  start: bigint,
  end: bigint,
): Promise<boolean> {
  for (const vcpu of target.vcpus) {
    if (await isInside(target, vcpu, start, end)) return true;
  }
  return false;
}

/** Whether this processor is. One that does not run for some seconds counts as inside: it cannot leave, either. */
export async function isInside(
  target: HijackTarget,
  vcpu: Vcpu,
  start: bigint,
  end: bigint,
): Promise<boolean> {
  const limit = performance.now() + patience;
  for (;;) {
    const look = target.tryStopped(
      vcpu,
      (thread) => new VcpuCalls(thread, vcpu.fd).rip(),
      // Else it would have to be stopped once more, to know that its thread has left the gate.
      { byGate: false },
    );
    if (look) return look.result >= start && look.result < end;
    if (performance.now() > limit) return true;
    await sleep(2);
  }
}
