import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCliWell, startCli } from './cli.js';
import { Random } from './random.js';

/** A squashfs and a file in it. */
export interface TestImage {
  /** Where the image is. */
  path: string;
  /** Its bytes. */
  bytes: Buffer;
  /** Name of a file in it, and its content. */
  file: string;
  content: Buffer;
}

/** Make a small squashfs in `directory`, of random content: a guest on an emulating KVM takes seconds for a few hundred KiB. */
export function makeTestImage(directory: string, seed = 4): TestImage {
  const tree = join(directory, 'tree');
  const path = join(directory, 'test.squashfs');
  mkdirSync(join(tree, 'some'), { recursive: true });
  const random = new Random(seed);
  const content = Buffer.from(Array.from({ length: 70_001 }, () => random.below(256)));
  writeFileSync(join(tree, 'some', 'file'), content);
  execFileSync('mksquashfs', [tree, path, '-noappend', '-quiet', '-no-progress']);
  return { path, bytes: readFileSync(path), file: 'some/file', content };
}

/** A session that a process of the command line serves. */
export interface CliSession {
  name: string;
  /** The process. */
  pid: number;
  /** Milliseconds that threads of the hypervisor stood. */
  stopped: number;
  /** Tell it to end by `debloat detach`; what it said then. */
  detach: () => Promise<string>;
  /** Settles when the process has ended. */
  ended: Promise<{ exitCode?: number | undefined; stderr: string }>;
}

/** `debloat attach --disk-only`: resolves when the disk is there. Rejects with what it said where it ended before. */
export async function attachByCli(
  pid: number,
  image: string,
  name: string,
  options: string[] = [],
): Promise<CliSession> {
  const serving = startCli([
    ...['attach', '--disk-only', `${pid}`, image],
    ...['--session', name, ...options],
  ]);
  let told = '';
  const { stdout, stderr } = serving;
  stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const ended = serving.then((result) => result);
  const hasEnded = ended.then(() => true);
  while (!told.includes('takes it away')) {
    if (await Promise.race([hasEnded, sleep(20, false)])) {
      throw new Error(`debloat attach has ended:\n${told}`);
    }
  }
  return {
    name,
    pid: serving.pid ?? 0,
    stopped: Number(/stopped for ([\d.]+) ms/.exec(told)?.[1]),
    detach: async () => {
      await runCliWell(['detach', name]);
      const result = await ended;
      if (result.exitCode !== 0) throw new Error(`debloat attach failed:\n${result.stderr}`);
      return result.stderr;
    },
    ended,
  };
}
