import { mkdtemp, readFile, readdir, rm, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type Options } from 'execa';
import { sensorPath } from '../../native/sensor.js';
import { parseRawTrace } from '../../analyzer/trace/parse.js';
import type { RawRecord, RawTrace } from '../../analyzer/trace/raw.js';

export interface SensedRun {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
  raw: RawTrace;
  /** Outcomes of all records of `kind` of `path`, in order. */
  of(kind: RawRecord['kind'], path: string): RawRecord['outcome'][];
}

export interface SensedOptions extends Options {
  /** Put before the sensor: ["unshare", "-pf"]. */
  before?: string[];
  /** Of the sensor. */
  flags?: string[];
  /** Instead of the built one. */
  sensor?: string;
  /** Instead of a directory of its own. */
  output?: string;
}

/** Run `argv` under the real sensor on this machine and read what it recorded. */
export async function sense(argv: string[], options: SensedOptions = {}): Promise<SensedRun> {
  const { before = [], flags = [], sensor = sensorPath(), output, ...rest } = options;
  const dir = output ?? (await mkdtemp(join(tmpdir(), 'debloat-sensed-')));
  try {
    await chmod(dir, 0o1777);
    const [file = '', ...args] = [...before, sensor, '--output', dir, ...flags, '--', ...argv];
    const result = await execa(file, args, { reject: false, stdin: 'ignore', ...rest });
    const raw = await readTraces(dir);
    return {
      exitCode: result.exitCode,
      signal: result.signal,
      stdout: String(result.stdout),
      stderr: String(result.stderr),
      raw,
      of: (kind, path) =>
        raw.records
          .filter((record) => record.kind === kind && record.path === path)
          .map((record) => record.outcome),
    };
  } finally {
    if (output === undefined) await rm(dir, { recursive: true, force: true });
  }
}

/** All trace files of `dir`, parsed. */
export async function readTraces(dir: string): Promise<RawTrace> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.trace'));
  return parseRawTrace(await Promise.all(names.map((name) => readFile(join(dir, name)))));
}
