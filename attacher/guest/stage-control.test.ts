import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DebloatError } from '../../analyzer/errors.js';
import { markBytes, RingReader, RingWriter, ringBytes } from './byte-ring.js';
import { StageControl, controlOffset, controlSize, pollGsi, stageError } from './stage-control.js';
import { Command, stepOf } from './stage-steps.js';

const headerFolder = fileURLToPath(new URL('../../native/guest/stage1', import.meta.url));

/** Compiles and runs a C program that includes control.h; its lines as name → number. */
function askCompiler(statements: string): Map<string, number> {
  const folder = mkdtempSync(join(tmpdir(), 'debloat-control-'));
  try {
    writeFileSync(
      join(folder, 'ask.c'),
      `#include <stdio.h>\n#include <stddef.h>\n#include "control.h"\nint main(void) { ${statements} }`,
    );
    execFileSync('gcc', ['-I', headerFolder, '-o', join(folder, 'ask'), join(folder, 'ask.c')]);
    const lines = execFileSync(join(folder, 'ask')).toString().trim().split('\n');
    return new Map(
      lines.map((line) => {
        const [name = '', number] = line.split(' ');
        return [name, Number(number)];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function block(): { bytes: Uint8Array; view: DataView; control: StageControl } {
  const bytes = new Uint8Array(controlSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  return { bytes, view, control: new StageControl(bytes) };
}

describe('control.h', () => {
  it('has its fields where the host looks for them', () => {
    const names = Object.keys(controlOffset);
    const statements = names.map(
      (name) => `printf("${name} %zu\\n", offsetof(struct control, ${name}));`,
    );
    const offsets = askCompiler(statements.join('\n'));
    expect(Object.fromEntries(offsets)).toEqual(controlOffset);
  });

  it('has the host’s sizes, commands, and a sentence for every step', () => {
    const steps = [...readSteps()];
    const numbers = askCompiler(
      [
        'printf("size %zu\\n", sizeof(struct control));',
        'printf("ring %zu\\n", offsetof(struct ring, data));',
        'printf("mark %zu\\n", offsetof(struct ring, mark));',
        'printf("tail %zu\\n", offsetof(struct ring, tail));',
        'printf("closed %zu\\n", offsetof(struct ring, closed));',
        'printf("poll %u\\n", GSI_POLL);',
        'printf("add %d\\n", COMMAND_ADD_DISK);',
        'printf("load %d\\n", COMMAND_LOAD_DRIVERS);',
        ...steps.map((name) => `printf("${name} %d\\n", ${name});`),
      ].join('\n'),
    );
    expect(numbers.get('size')).toBe(controlSize);
    expect(numbers.get('ring')).toBe(ringBytes(0));
    expect(numbers.get('mark')).toBe(8);
    expect(numbers.get('tail')).toBe(64);
    expect(numbers.get('closed')).toBe(68);
    expect(numbers.get('poll')).toBe(pollGsi);
    expect(numbers.get('add')).toBe(Command.addDisk);
    expect(numbers.get('load')).toBe(Command.loadDrivers);
    for (const name of steps) expect(stepOf(numbers.get(name) ?? -1), name).toBeDefined();
  });
});

/** The names of all steps but STEP_NONE, as control.h has them. */
function* readSteps(): Generator<string> {
  const text = execFileSync('cat', [join(headerFolder, 'control.h')]).toString();
  for (const [, name = ''] of text.matchAll(/\b(STEP_\w+) =/g))
    if (name !== 'STEP_NONE') yield name;
}

describe('StageControl', () => {
  it('refuses a block of another version', () => {
    expect(() => new StageControl(new Uint8Array(controlSize))).toThrow(DebloatError);
  });

  it('numbers commands, one at a time', () => {
    const { view, control } = block();
    const first = control.begin(Command.addDisk);
    expect(view.getUint32(controlOffset.command, true)).toBe(Command.addDisk);
    expect(() => control.begin(Command.removeDisk)).toThrow(/still running/);
    expect(control.outcome(first)).toBeUndefined();
    expect(control.queued(first)).toBe(false);
    view.setUint32(controlOffset.queued, first, true);
    expect(control.queued(first)).toBe(true);
    view.setInt32(controlOffset.result, -16, true);
    view.setUint32(controlOffset.step, 7, true);
    view.setUint32(controlOffset.completed, first, true);
    expect(control.outcome(first)).toEqual({ result: -16, step: 7 });
    expect(control.begin(Command.removeDisk)).toBe(first + 1);
  });

  it('takes no nonsense for a result', () => {
    const { view, control } = block();
    const sequence = control.begin(Command.addDisk);
    view.setUint32(controlOffset.completed, sequence, true);
    for (const result of [1, 0x7fffffff, -5000, -0x80000000]) {
      view.setInt32(controlOffset.result, result, true);
      expect(control.outcome(sequence)?.result).toBe(-71);
    }
  });

  it('writes the disk and the drivers, and refuses what is neither', () => {
    const { bytes, view, control } = block();
    control.setDisk({
      window: 0xe_0000_0fb0n,
      windowSize: 0x200,
      gsi: pollGsi,
      deviceId: 77,
      drivers: ['virtio_mmio', 'virtio_blk'],
    });
    expect(view.getBigUint64(controlOffset.window, true)).toBe(0xe_0000_0fb0n);
    expect(view.getUint32(controlOffset.gsi, true)).toBe(pollGsi);
    expect(view.getUint32(controlOffset.driver_count, true)).toBe(2);
    const names = Buffer.from(bytes).toString('latin1', controlOffset.drivers);
    expect(names.startsWith('virtio_mmio\0virtio_blk\0\0')).toBe(true);
    expect(() => control.setDrivers(['a;b'])).toThrow(RangeError);
    expect(() => control.setDrivers(Array<string>(20).fill('virtio_mmio'))).toThrow(RangeError);
    const disk = { window: 0n, windowSize: 0x200, gsi: 6, deviceId: 1.5 };
    expect(() => control.setDisk(disk)).toThrow(RangeError);
  });

  it('writes the session, and refuses a name that can be guessed', () => {
    const { bytes, view, control } = block();
    const session = {
      program: 0xffff_ff80_0000_8000n,
      programSize: 13_120,
      toGuest: 0xffff_ff80_0001_0000n,
      fromGuest: 0xffff_ff80_0002_0000n,
      paths: 0n,
      pathCount: 0,
      socketName: 'a1b2c3d4e5f6a7b8c9d0e1f2',
    };
    control.setSession(session);
    expect(view.getBigUint64(controlOffset.to_guest, true)).toBe(session.toGuest);
    expect(view.getBigUint64(controlOffset.program_size, true)).toBe(13_120n);
    const name = Buffer.from(bytes).toString('latin1', controlOffset.socket_name);
    expect(name.startsWith(`${session.socketName}\0`)).toBe(true);
    expect(() => control.setSession({ ...session, socketName: 'debloat' })).toThrow(RangeError);
    expect(() => control.setSession({ ...session, programSize: NaN })).toThrow(RangeError);
    expect(control.session).toBe('none');
    view.setUint32(controlOffset.session, 1, true);
    expect(control.session).toBe('running');
    view.setUint32(controlOffset.session, 0xffffffff, true);
    expect(control.session).toBe('over');
  });

  it('hands out whole lines of messages, whatever the guest writes', () => {
    const { bytes, view, control } = block();
    let head = 0;
    const say = (text: string): void => {
      for (const char of text) {
        bytes[controlOffset.messages + (head++ % 1024)] = char.charCodeAt(0);
      }
      view.setUint32(controlOffset.message_head, head, true);
    };
    say('platform_device_add: -16\nacpi');
    expect(control.messages()).toEqual(['platform_device_add: -16']);
    say('_register_gsi: -22\n');
    expect(control.messages()).toEqual(['acpi_register_gsi: -22']);
    say('\x1b[2J\x80\n');
    expect(control.messages()).toEqual(['?[2J?']);
    view.setUint32(controlOffset.message_head, 0xdeadbeef, true);
    expect(control.messages().join('').length).toBeLessThanOrEqual(1024);
    expect(view.getUint32(controlOffset.message_tail, true)).toBe(0xdeadbeef);
  });

  it('makes a sentence of a failure', () => {
    const error = stageError({ result: -16, step: 7 }, ['platform_device_add: -16']);
    expect(error.message).toBe(
      "The guest's kernel could not add the device (platform_device_add): EBUSY.",
    );
    expect(error.hint).toContain('platform_device_add: -16');
    expect(stageError({ result: -4000, step: 99 }, []).message).toContain('error 4000');
  });

  it('counts ticks round the end of 32 bits', () => {
    const { view, control } = block();
    view.setUint32(controlOffset.tick, 0xffffffff, true);
    control.tick();
    expect(view.getUint32(controlOffset.tick, true)).toBe(0);
  });
});

describe('a byte ring', () => {
  const make = (size: number) => {
    const memory = new Uint8Array(ringBytes(size));
    const mark = randomBytes(markBytes);
    const writer = new RingWriter(memory, mark);
    writer.reset();
    const reader = new RingReader(memory, mark);
    return { memory, view: new DataView(memory.buffer), writer, reader };
  };

  it('carries bytes in order through any split, to the end', () => {
    const { writer, reader } = make(64);
    const sent: number[] = [];
    const got: number[] = [];
    for (let round = 0; round < 500; round++) {
      const chunk = Uint8Array.from({ length: (round * 7) % 97 }, (_, at) => round + at);
      sent.push(...chunk.subarray(0, writer.write(chunk)));
      got.push(...reader.read((round * 5) % 83));
    }
    expect(reader.ended).toBe(false);
    writer.close();
    got.push(...reader.read());
    expect(got).toEqual(sent);
    expect(reader.ended).toBe(true);
  });

  it('goes on when the indices wrap at 2^32', () => {
    const { view, reader } = make(64);
    // The guest is the writer here, and so far along.
    view.setUint32(0, 0xfffffff0, true);
    expect(() => reader.read()).toThrow(DebloatError);
  });

  it('is neither read nor written once its memory is another kernel’s', () => {
    const { memory, view, writer, reader } = make(64);
    writer.write(Uint8Array.of(1, 2, 3));
    memory.fill(0);
    expect(reader.read()).toEqual(new Uint8Array());
    view.setUint32(0, 5, true); // by chance an index that makes sense
    const before = memory.slice();
    expect(() => reader.read()).toThrow(/nonsense/);
    expect(() => writer.write(new Uint8Array(1))).toThrow(/nonsense/);
    writer.close();
    expect(memory).toEqual(before);
  });

  it('refuses indices that make no sense, and odd sizes', () => {
    const { view, writer, reader } = make(64);
    view.setUint32(64, 5, true);
    expect(() => writer.write(new Uint8Array(1))).toThrow(/nonsense/);
    view.setUint32(0, 65, true);
    expect(() => reader.read()).toThrow(/nonsense/);
    expect(() => new RingReader(new Uint8Array(ringBytes(100)), new Uint8Array(markBytes))).toThrow(
      RangeError,
    );
  });
});
