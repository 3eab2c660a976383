import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compileStage } from './guest-stage.js';

const fixtures = fileURLToPath(new URL('../fixtures/hijack/', import.meta.url));

/** Compile the raw VM into `directory`; the program's path. */
export function compileRawVm(directory: string): string {
  const program = join(directory, 'raw-vm');
  execFileSync('gcc', ['-O1', '-Wall', '-o', program, join(fixtures, 'raw-vm.c'), '-lpthread']);
  return program;
}

/** Offsets in the raw stage’s image. */
export const rawStage = { resume: 0x800, window: 0x810, magic: 0x818, status: 0x81c, done: 0x820 };

/** The code that the raw VM’s processor is sent through. */
export function compileRawStage(directory: string): Buffer {
  const object = join(directory, 'raw-stage.o');
  const binary = join(directory, 'raw-stage.bin');
  execFileSync('gcc', ['-c', '-o', object, join(fixtures, 'raw-stage.S')]);
  execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, binary]);
  return readFileSync(binary);
}

/** Build stage 1's stand-in for the raw VM into `directory`; the object's path. */
export function compileRawControlStage(directory: string): string {
  return compileStage(directory, 'raw-control-stage', ['entry.S', 'thunks.S']);
}

export interface RawVmCounts {
  /** All exits to the hypervisor until now, and those for MMIO. */
  exits: number;
  mmio: number;
  /** What the guest counts all the time. */
  counter: number;
}

/** A running raw VM. */
export class RawVm {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(
    program: string,
    memory: 'shared' | 'anonymous',
    mode: 'sandbox' | 'io' | 'user' | 'plain',
  ) {
    this.#process = spawn(program, [memory, mode], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const output = this.#process.stdout;
    if (!output) throw new Error('no output');
    this.#lines = createInterface(output)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  async counts(): Promise<RawVmCounts> {
    this.#process.stdin?.write('?');
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the raw VM has ended');
    const [exits = 0, mmio = 0, counter = 0] = (line.value.match(/\d+/g) ?? []).map(Number);
    return { exits, mmio, counter };
  }

  /** What a hypervisor holds: descriptors by what they are, and mappings. */
  holdings(): { files: string[]; maps: string[] } {
    return holdingsOf(this.pid);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/**
 * Descriptors of a process by what they are, and what it has mapped; not its heaps and stacks, which
 * come and go by themselves.
 */
export function holdingsOf(pid: number): { files: string[]; maps: string[] } {
  const files = readdirSync(`/proc/${pid}/fd`)
    .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d{3,}/, 'N'))
    .sort();
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .filter((line) => /\S+ \S+ \S+ \S+ \S+ +[^\s[]/.test(line));
  return { files, maps: maps.sort() };
}
