import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeStub } from '../../test/support/fake-stub.js';
import { decodeRegisters } from './register-layout.js';
import { GdbStub } from './stub.js';

let directory: string;
let path: string;
let fake: FakeStub;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'debloat-stub-'));
  path = join(directory, 'gdb');
});
afterEach(() => {
  fake.close();
  rmSync(directory, { recursive: true });
});

describe('a gdb stub’s client', () => {
  it.each([
    ['version 7', true],
    ['version 10', false],
  ])(
    'has the machine of a QEMU of %s stand for no longer than its commands take, and sends it nothing while it runs',
    async (_, greets) => {
      fake = await FakeStub.listen(path, { greets });
      fake.registers.set('rip', 0xffffffff81234567n);
      const stub = GdbStub.open({ path });
      const registers = await stub.pass(() => stub.registers());
      expect(registers.get('rip')).toBe(0xffffffff81234567n);
      expect(fake.running).toBe(true);

      fake.hits = '1000';
      await stub.pass(() => stub.setBreakpoint(0x1000n));
      expect(await stub.nextStop(1000)).toEqual({ signal: 5, thread: '01' });
      await stub.together(() =>
        Promise.all([
          stub.select('01'),
          stub.setRegisters([['rax', 7n]]),
          stub.clearBreakpoint(0x1000n),
        ]),
      );
      expect((await stub.registers()).get('rax')).toBe(7n);
      expect(await stub.threads()).toEqual(['01']);
      stub.resume();
      await sleep(20);
      expect(fake.running).toBe(true);
      expect((await stub.interrupt()).signal).toBe(2);
      const held = stub.held;
      await stub.detach();
      expect(stub.held).toBeGreaterThan(held);
      expect(fake.running).toBe(true);
      expect(fake.strays).toBe(0);
      expect(fake.commands.filter((command) => command === 'interrupt')).toHaveLength(2);
    },
  );

  it.each([
    ['i386-64bit.xml', true],
    ['other.xml', false],
  ])('looks and leaves, a description in %s at once: %s', async (file, atOnce) => {
    fake = await FakeStub.listen(path, { file });
    fake.registers.set('rax', 7n);
    if (!atOnce) await expect(GdbStub.open({ path }).look(true)).rejects.toThrow(/lost/);
    const stub = GdbStub.open({ path });
    const { layout, answer } = await stub.look(atOnce);
    expect(decodeRegisters(layout, answer).get('rax')).toBe(7n);
    expect([stub.left, fake.running, fake.strays]).toEqual([true, true, 0]);
  });

  it('knows a layout again', async () => {
    fake = await FakeStub.listen(path);
    const first = GdbStub.open({ path });
    await first.registers();
    await first.detach();
    fake.commands = [];
    const second = GdbStub.open({ path }, first.layout);
    expect((await second.registers()).get('rip')).toBe(0n);
    await second.detach();
    expect(fake.commands).toEqual([
      expect.stringMatching(/^qSupported/),
      expect.stringMatching(/target.xml/),
      'g',
      'D',
    ]);
  });

  it('asks on for a description that is elsewhere, and lets a machine go on that was told to', async () => {
    fake = await FakeStub.listen(path, { file: 'other.xml' });
    fake.registers.set('cr3', 5n);
    const stub = GdbStub.open({ path });
    expect((await stub.pass(() => stub.registers())).get('cr3')).toBe(5n);
    await sleep(20);
    expect(fake.running).toBe(true);
    await stub.stand();
    await stub.detach();
    expect(fake.strays).toBe(0);
  });

  it('says where nobody listens, and when the machine has ended', async () => {
    fake = await FakeStub.listen(path);
    await expect(GdbStub.connect({ path: join(directory, 'none') })).rejects.toThrow(
      /none does not answer/,
    );
    const stub = await GdbStub.connect({ path });
    fake.close();
    await expect(stub.registers()).rejects.toThrow(/lost/);
  });
});
