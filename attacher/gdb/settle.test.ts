import { describe, expect, it } from 'vitest';
import type { NotedPoint } from './journal.js';
import { progressOf } from './settle.js';

const panic = 0xffffffff81000000n;
const schedule = 0xffffffff82000000n;
const callee = 0xffffffff83000000n;
const rsp = 0xffffc90000013e88n;
const stack = ((rsp - 512n) & ~15n) - 8n;

const registers = { rip: schedule, rsp, cs: 0x10n, gs_base: 0xffff88803ec00000n };
const noted = (withCall: boolean, at = stack): NotedPoint => ({
  thread: '01',
  registers: Object.fromEntries(
    Object.entries(registers).map(([name, value]) => [name, value.toString(16)]),
  ),
  ...(withCall && {
    call: { function: callee.toString(16), parameters: [], stack: at.toString(16) },
  }),
});

/** What is made of a processor with these registers. */
const progress = (
  now: Partial<typeof registers>,
  { point = noted(true), found = panic }: { point?: NotedPoint; found?: bigint } = {},
) => progressOf(point, new Map(Object.entries({ ...registers, ...now })), { panic }, found);

describe('where a processor is that was left at a safe point', () => {
  it('is before the call while it has not done one of its instructions', () => {
    expect(progress({})).toBe('before');
    expect(progress({ rsp: stack })).toBe('before');
    expect(progress({ rip: callee, rsp: stack })).toBe('before');
    expect(progress({}, { point: noted(false) })).toBe('before');
    // The call before this one has returned.
    const second = { point: noted(true, stack - 16n) };
    expect(progress({ rip: panic, rsp: stack + 8n }, second)).toBe('before');
    expect(progress({ rip: panic, rsp: stack - 16n }, second)).toBe('before');
  });

  it('is before a function that it was to leave by, while it stands there', () => {
    const own = { point: noted(true, rsp - 8n), found: schedule };
    expect(progress({}, own)).toBe('before');
    expect(progress({ rsp: rsp - 8n }, own)).toBe('before');
    expect(progress({ rip: callee, rsp: rsp - 8n }, own)).toBe('before');
    expect(progress({ rip: callee + 4n, rsp: rsp - 16n }, own)).toBe('elsewhere');
    // From where a call before had ended.
    expect(progress({ rip: panic, rsp: stack + 8n }, own)).toBe('before');
    expect(progress({ rip: panic }, { point: noted(true, rsp) })).toBe('before');
    expect(progress({ rip: callee }, { point: noted(true, rsp) })).toBe('before');
  });

  it('is in the call as long as its return address is on the stack', () => {
    expect(progress({ rip: callee + 4n, rsp: stack - 8n })).toBe('inside');
    expect(progress({ rip: callee + 1n, rsp: stack })).toBe('inside');
    expect(progress({ rip: 0xffffffff84000000n, rsp: stack - 1000n })).toBe('inside');
    // It calls itself.
    expect(progress({ rip: callee, rsp: stack - 64n })).toBe('inside');
  });

  it('has returned when it is at the breakpoint, and the return address is off the stack', () => {
    expect(progress({ rip: panic, rsp: stack + 8n })).toBe('returned');
    expect(progress({ rip: panic, rsp: stack + 8n }, { point: noted(false) })).toBe('before');
  });

  it('is elsewhere when it has gone on, on another stack, in user mode or in another kernel', () => {
    expect(progress({ rip: callee + 4n, rsp: stack - 8n }, { found: 0n })).toBe('elsewhere');
    expect(progress({ rip: 0xffffffff84000000n, rsp: rsp + 64n })).toBe('elsewhere');
    expect(progress({ rsp: rsp + 4096n })).toBe('elsewhere');
    expect(progress({ rsp: rsp - 8192n })).toBe('elsewhere');
    expect(progress({ rip: panic, rsp: stack - 9000n })).toBe('elsewhere');
    expect(progress({ cs: 0x33n })).toBe('elsewhere');
    expect(progress({ gs_base: 0n })).toBe('elsewhere');
    expect(progress({ rip: 0xffffffff84000000n, rsp: stack - 64n }, { point: noted(false) })).toBe(
      'elsewhere',
    );
  });
});
