import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeStub } from '../../test/support/fake-stub.js';
import { GuestGone, sendProcessor, type Entrance } from './send.js';
import { GdbStub } from './stub.js';

const kernel = 0xffffffff81000000n;
const address = 0xffffff8000002000n;
const schedule = kernel + 0x1000n;
const inKernel = { rip: kernel, cs: 0x10n, eflags: 0x246n, efer: 0xd01n };
const inProgram = { rip: 0x401000n, cs: 0x33n, eflags: 0x246n, efer: 0xd01n };

let directory: string;
let fake: FakeStub;
/** Where the stage was told to go on, and with which flags. */
let resume: [bigint, bigint] | undefined;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'debloat-send-'));
  fake = await FakeStub.listen(join(directory, 'gdb'));
  resume = undefined;
});
afterEach(() => {
  fake.close();
  rmSync(directory, { recursive: true });
});

/** Send it where three bytes before and three at its place are these. */
async function send(registers: Record<string, bigint>, code: readonly number[], isOurs = true) {
  for (const [name, value] of Object.entries(registers)) fake.registers.set(name, value);
  const entrance: Entrance = {
    ...{ address, schedule },
    kernelOf: () => (isOurs ? () => Uint8Array.from(code) : undefined),
    setResume: (...where) => (resume = where),
  };
  const stub = GdbStub.open({ path: join(directory, 'gdb') });
  try {
    await sendProcessor(stub, entrance);
    expect(stub.left).toBe(true);
  } finally {
    if (!stub.left) await stub.detach();
    expect([fake.running, fake.strays]).toEqual([true, 0]);
  }
}

const changes = () => fake.commands.filter((command) => /^[PZzDv]/.test(command));
const words = [0x90, 0x90, 0x90, 0x90, 0x90, 0x90];

describe('a processor of a machine that stands', () => {
  it('is sent from where it is in the kernel, interrupts off, and the machine goes on', async () => {
    await send(inKernel, words);
    expect(resume).toEqual([kernel, 0x246n]);
    expect(fake.registers.get('rip')).toBe(address);
    expect(fake.registers.get('eflags')).toBe(0x46n);
    expect(changes().map((each) => each.split('=')[0])).toEqual(['P10', 'P11', 'D']);
  });

  it.each([
    ['hlt', [0x90, 0xfb, 0xf4, 0x90, 0x90, 0x90]],
    ['mwait', [0x0f, 0x01, 0xc9, 0x90, 0x90, 0x90]],
  ])('keeps its interrupts where it waits for one in %s', async (_, code) => {
    await send(inKernel, code);
    expect(resume).toEqual([kernel, 0x246n]);
    expect(fake.registers.get('eflags')).toBe(0x246n);
  });

  it('goes on behind an instruction by which it was about to wait', async () => {
    await send(inKernel, [0x90, 0x90, 0xfb, 0xf4, 0x90, 0x90]);
    expect(resume).toEqual([kernel + 1n, 0x246n]);
    expect(fake.registers.get('eflags')).toBe(0x46n);
  });

  it.each([
    ['in a program', inProgram],
    ['with interrupts off', { ...inKernel, eflags: 0x46n }],
    ['on its way to another stage', { ...inKernel, rip: 0xffffff8040002000n }],
    ['step by step', { ...inKernel, eflags: 0x346n }],
  ])('is waited for at the scheduler when it is %s', async (_, registers) => {
    fake.hits = schedule.toString(16);
    for (const [name, value] of Object.entries({ ...inKernel, rip: schedule }))
      fake.atHit.set(name, value);
    await send(registers, words);
    expect(resume).toEqual([schedule, 0x246n]);
    expect(fake.registers.get('rip')).toBe(address);
    const kinds = changes().map((each) => each.split(/[,=]/)[0]);
    expect(kinds).toEqual(['Z0', 'vCont;c', 'z0', 'P10', 'P11', 'D']);
  });

  it('is left alone where another kernel runs', async () => {
    await expect(send(inKernel, words, false)).rejects.toThrow(GuestGone);
    expect(resume).toBeUndefined();
    expect(changes()).toEqual(['D']);
  });
});
