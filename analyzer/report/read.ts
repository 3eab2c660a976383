import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DebloatError, messageOf } from '../errors.js';
import { reportSchema, reportVersion, type Report } from './model.js';

/** Name of the report in an output directory. */
export const reportFileName = 'report.json';

/** A report as it is written to a file or stdout. */
export function serializeReport(report: Report): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

/** Read the report at `location`: a report.json, or the output directory of a build. */
export async function readReport(location: string): Promise<Report> {
  const { file, text } = await load(location);
  return parseReport(text, file);
}

/** The report in `text`, which came from `origin` (for messages). */
export function parseReport(text: string, origin: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DebloatError(`${origin} is not JSON: ${messageOf(error)}`, {
      hint: 'give the report.json or the output directory of a finished build',
      cause: error,
    });
  }
  const version = (value as { schemaVersion?: unknown } | null)?.schemaVersion;
  if (typeof version === 'number' && version > reportVersion) {
    throw new DebloatError(
      `${origin} is a report of version ${version}, this debloat reads ${reportVersion}`,
      { hint: 'use the debloat that wrote it, or a newer one' },
    );
  }
  const parsed = reportSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  const where = first && first.path.length > 0 ? z.core.toDotPath(first.path) : 'its top level';
  throw new DebloatError(
    `${origin} is not a report of debloat: ${where}: ${first?.message ?? 'wrong'}`,
    { hint: 'docs/report-format.md describes the format', cause: parsed.error },
  );
}

async function load(location: string): Promise<{ file: string; text: string }> {
  let file = location;
  try {
    if ((await stat(location)).isDirectory()) file = join(location, reportFileName);
    return { file, text: await readFile(file, 'utf8') };
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DebloatError(
      gone ? `there is no report at ${file}` : `cannot read ${file}: ${messageOf(error)}`,
      { hint: 'give the output directory of a build, or its report.json', cause: error },
    );
  }
}
