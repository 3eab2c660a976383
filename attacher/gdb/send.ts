import { DebloatError } from '../../analyzer/errors.js';
import { afterRest, EFLAGS_IF, isInterruptible, type ReadKernel } from './interruptible.js';
import type { GdbStub } from './stub.js';

/** How long to wait for a processor to come to the scheduler, in milliseconds. */
const patience = 15_000;
/** Hits with interrupts off (there are none in practice) before it is given up. */
const mostHits = 50;

export type Registers = ReadonlyMap<string, bigint>;

/** Where a processor shall go, as if by an interrupt. */
export interface Entrance {
  address: bigint;
  /** Of the kernel; where processors come that are in programs all the time. */
  schedule: bigint;
  /** Reads the memory of the kernel by a processor's registers; undefined if it is not the one that was attached to. */
  kernelOf: (registers: Registers) => ReadKernel | undefined;
  /** Tell the stage where the processor was. */
  setResume: (rip: bigint, flags: bigint) => void;
}

/** The guest was started anew: what was in it has gone. */
export class GuestGone extends DebloatError {
  constructor() {
    super('The guest was started anew: the session is gone.');
  }
}

/**
 * Send one processor of a machine that stands into the stage, and leave the machine. All of that is one
 * write of one register and a farewell: whoever is killed meanwhile has done it, or not. Throws GuestGone
 * where no processor has the stage's kernel.
 */
export async function sendProcessor(stub: GdbStub, entrance: Entrance): Promise<void> {
  // Of the processor that the stub selects by itself, mostly in the same answer as all else.
  const first = await stub.registers();
  if (await trySend(stub, first, entrance)) return;
  let known = entrance.kernelOf(first) !== undefined;
  for (const thread of (await stub.threads()).slice(1)) {
    const [, registers] = await stub.together(() =>
      Promise.all([stub.select(thread), stub.registers()]),
    );
    if (await trySend(stub, registers, entrance)) return;
    known ||= entrance.kernelOf(registers) !== undefined;
  }
  if (!known) throw new GuestGone();
  await sendFromScheduler(stub, entrance);
}

/** Send the processor that is selected and leave the machine, if that can be interrupted where it is. */
export async function trySend(
  stub: GdbStub,
  registers: Registers,
  { address, kernelOf, setResume }: Entrance,
): Promise<boolean> {
  const kernel = isInterruptible(registers) ? kernelOf(registers) : undefined;
  if (kernel === undefined) return false;
  const rip = registers.get('rip') ?? 0n;
  const flags = registers.get('eflags') ?? 0n;
  const rest = afterRest(kernel, rip);
  if (rest === undefined) return false;
  setResume(rest.resume, flags);
  await stub.together(() =>
    Promise.all([
      // The first alone decides: the stage begins by turning interrupts off.
      stub.setRegisters([
        ['rip', address],
        ...(rest.waits ? [] : [['eflags', flags & ~EFLAGS_IF] as const]),
      ]),
      stub.detach(),
    ]),
  );
  return true;
}

/** All are in programs, or where no interrupt may come: send the first that comes to the scheduler. */
async function sendFromScheduler(stub: GdbStub, entrance: Entrance): Promise<void> {
  const { schedule } = entrance;
  let set = true;
  try {
    await stub.pass(() => stub.setBreakpoint(schedule));
    for (let hits = 0; hits < mostHits; hits++) {
      const { thread } = await stub.nextStop(patience);
      const [, registers] = await stub.together(() =>
        Promise.all([stub.select(thread), stub.registers(), stub.clearBreakpoint(schedule)]),
      );
      set = false;
      if (await trySend(stub, registers, entrance)) return;
      await stub.step(thread);
      set = true;
      await stub.pass(() => stub.setBreakpoint(schedule));
    }
  } catch (error) {
    if (set) await giveUp(stub, schedule);
    throw error;
  }
  await giveUp(stub, schedule);
  throw new DebloatError('No processor of the guest came to the scheduler as it should.');
}

/** The breakpoint goes; the machine stands. */
async function giveUp(stub: GdbStub, schedule: bigint): Promise<void> {
  try {
    await stub.stand();
    await stub.clearBreakpoint(schedule);
  } catch {
    return; // the connection is lost: detaching by another one is the caller's
  }
}
