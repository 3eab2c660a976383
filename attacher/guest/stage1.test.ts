import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { arch } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { link, requiredImports } from './linker/link.js';
import { StageControl, controlSize } from './stage-control.js';

const file = fileURLToPath(new URL('../../dist/native/stage1.o', import.meta.url));
const disassembly = (): string =>
  execFileSync('objdump', ['-d', '--no-show-raw-insn', file], { maxBuffer: 1 << 26 }).toString();

describe.runIf(arch() === 'x64')('dist/native/stage1.o', () => {
  it('links in the kernel’s half, a control block of its version inside', () => {
    expect(existsSync(file)).toBe(true);
    const object = readFileSync(file);
    const needed = requiredImports(object);
    const symbols = new Map(
      needed.map(({ name }, index) => [name, 0xffff_ffff_8100_0000n + BigInt(index) * 64n]),
    );
    const base = 0xffff_ff80_0000_2000n;
    const { image, entry, segments } = link(object, base, symbols);
    const at = Number(entry('stage1_control') - base);
    expect(at % 4096).toBe(0);
    new StageControl(image.subarray(at, at + controlSize));
    expect(segments.filter(({ executable }) => executable)).toHaveLength(1);
    for (const name of ['stage1_interrupted', 'stage1_enqueue', 'stage1_work']) {
      expect(entry(name)).toBeGreaterThanOrEqual(base);
    }
  });

  it('needs little of the kernel, and marks what some kernels lack', () => {
    const imports = requiredImports(readFileSync(file));
    const weak = imports.filter((one) => one.weak).map(({ name }) => name);
    expect(weak).toEqual(
      expect.arrayContaining(['acpi_register_gsi', 'system_dfl_wq', 'usleep_range_state']),
    );
    expect(imports.length).toBeLessThan(60);
  });

  it('has no indirect call or jump, which IBT would refuse, and no vector register', () => {
    expect(disassembly()).not.toMatch(/\b(call|jmp|bnd)\s+\*|%[xyz]mm|%st/);
  });

  it('lets interrupts in only with its last instruction', () => {
    const lines = disassembly().split('\n');
    const sti = lines.flatMap((line, index) => (/\bsti\b/.test(line) ? [index] : []));
    // The poller's is no way out: it runs on inside, and kthread_stop waits for it.
    const out = sti.filter((index) => /\bret\b/.test(lines[index + 1] ?? ''));
    expect(out).toHaveLength(2);
  });

  it('carries no unwind tables, notes or debug information', () => {
    const sections = execFileSync('readelf', ['-SW', file]).toString();
    expect(sections).not.toMatch(/eh_frame|debug|comment|note\.gnu/);
  });
});
