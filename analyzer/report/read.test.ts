import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { format } from 'prettier';
import { sampleInput } from '../../test/support/report.js';
import { createReport } from './create.js';
import { reportJsonSchema } from './model.js';
import { parseReport, readReport, serializeReport } from './read.js';

const report = createReport(sampleInput());

describe('readReport', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'report-test-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('reads from a file or an output directory what was written, odd names included', async () => {
    const file = join(dir, 'report.json');
    await writeFile(file, serializeReport(report));
    expect(await readReport(file)).toEqual(report);
    expect(await readReport(dir)).toEqual(report);
  });

  it('says where it looked', async () => {
    await expect(readReport(dir)).rejects.toThrow(`there is no report at ${dir}/report.json`);
  });
});

describe('parseReport', () => {
  it.each([
    ['{', /^x is not JSON: /],
    ['{}', /^x is not a report of debloat: schemaVersion: /],
    ['[]', /^x is not a report of debloat: its top level: /],
    ['null', /^x is not a report of debloat: its top level: /],
    ['{"schemaVersion":2}', /^x is a report of version 2, this debloat reads 1$/],
  ])('refuses %s', (text, message) => {
    expect(() => parseReport(text, 'x')).toThrow(message);
  });

  it('names the field that is wrong', () => {
    const broken = { ...report, overlay: { ...report.overlay, digest: 'sha256:12' } };
    expect(() => parseReport(JSON.stringify(broken), 'x')).toThrow('overlay.digest');
  });

  it('takes a report of a later minor version with fields it does not know', () => {
    expect(parseReport(JSON.stringify({ ...report, novelty: 1 }), 'x')).toEqual(report);
  });
});

it('docs/report.schema.json is up to date (write it anew with `npx vitest -u`)', async () => {
  const text = await format(JSON.stringify(reportJsonSchema()), {
    parser: 'json',
    printWidth: 100,
  });
  await expect(text).toMatchFileSnapshot('../../docs/report.schema.json');
});
