import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { DebloatError, messageOf } from '../errors.js';
import { normalizePath } from '../image/path.js';
import type { Digest } from '../image/types.js';
import { accessKinds, type Trace } from './types.js';

const imagePath = z
  .string()
  .refine(
    (path) => normalizePath(path) === path && !path.includes('\0'),
    'is not an absolute, normalised path',
  );
const count = z.number().int().nonnegative();
const digest = z.custom<Digest>(
  (value) => typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value),
  'is not a sha256 digest',
);

/** The trace file of docs/trace-format.md. Unknown fields are passed over: newer versions may add some. */
const traceSchema = z.object({
  schemaVersion: z.literal(1),
  image: z.object({ reference: z.string(), configDigest: digest }),
  runs: z.array(
    z.object({
      startedAt: z.string(),
      seconds: z.number().nonnegative(),
      runtime: z.string(),
      events: count,
      unreadable: z.record(z.string(), count),
      lost: count.optional(),
      newPaths: count,
      exitCode: z.number().int().min(0).max(255).optional(),
    }),
  ),
  paths: z.record(
    imagePath,
    z.object({
      access: z.partialRecord(z.enum(accessKinds), z.string()),
      runs: count,
      created: z.literal(true).optional(),
    }),
  ),
  missing: z.record(imagePath, z.string()),
});

/** Read a trace file back. Throws a DebloatError that says what is wrong with it, and where. */
export async function readTrace(file: string): Promise<Trace> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new DebloatError(`cannot read the trace ${file}: ${messageOf(error)}`, { cause: error });
  }
  return parseTrace(text, file);
}

/** A trace from the text of a trace file; `name` is used in errors. */
export function parseTrace(text: string, name: string): Trace {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw notATrace(name, `it is not JSON (${messageOf(error)})`, error);
  }
  const parsed = traceSchema.safeParse(value);
  if (parsed.success) return withoutUndefined(parsed.data);
  const issue = parsed.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw notATrace(name, `${issue?.message ?? 'it does not fit'}${where}`, parsed.error);
}

/** The text of a trace file. A path that is not UTF-8 has lone surrogates, which JSON carries as \udcXX. */
export function formatTrace(trace: Trace): string {
  return `${JSON.stringify(trace, undefined, 1)}\n`;
}

/** Write `trace` to `file`, whole or not at all. */
export async function writeTrace(file: string, trace: Trace): Promise<void> {
  const unfinished = `${file}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeFile(unfinished, formatTrace(trace));
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw new DebloatError(`cannot write the trace ${file}: ${messageOf(error)}`, { cause: error });
  }
}

function notATrace(name: string, why: string, cause: unknown): DebloatError {
  return new DebloatError(`${name} is not a trace that this version reads: ${why}`, {
    hint: 'make one with `debloat trace IMAGE -o trace.json`; the format is described in docs/trace-format.md',
    cause,
  });
}

/** zod types an absent optional field as undefined; nothing in parsed JSON is. */
function withoutUndefined(trace: z.infer<typeof traceSchema>): Trace {
  return trace as Trace;
}
