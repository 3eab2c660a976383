import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReport } from '../../analyzer/report/create.js';
import { serializeReport } from '../../analyzer/report/read.js';
import { sampleInput } from '../../test/support/report.js';
import { readInputs } from './inputs.js';
import { runAction } from './run.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'action-test-'));
});
afterEach(() => rm(dir, { recursive: true }));

interface Outcome {
  exitCode: number;
  log: string;
  outputs: string;
  summary: string;
}

/** Run the action with a stand-in for the command line: a script that prints what it is given. */
async function act(script: string, inputs: Record<string, string> = {}): Promise<Outcome> {
  const cli = join(dir, 'cli.mjs');
  const [outputs, summary] = [join(dir, 'outputs'), join(dir, 'summary')];
  await Promise.all([writeFile(cli, script), writeFile(outputs, ''), writeFile(summary, '')]);
  const log = new PassThrough();
  const written = textOf(log);
  const env = {
    PATH: process.env['PATH'],
    INPUT_IMAGE: 'nginx:1',
    GITHUB_OUTPUT: outputs,
    GITHUB_STEP_SUMMARY: summary,
    ...inputs,
  };
  const exitCode = await runAction({ cli, env, log });
  log.end();
  return {
    exitCode,
    log: await written,
    outputs: await readFile(outputs, 'utf8'),
    summary: await readFile(summary, 'utf8'),
  };
}

/** The lines that GitHub would obey: all that are not within stop-commands. */
function commandsIn(log: string): string[] {
  let token: string | undefined;
  return log.split('\n').filter((line) => {
    const stop = /^::stop-commands::(.+)$/.exec(line);
    if (token === undefined && stop) token = stop[1];
    else if (line === `::${token ?? ''}::`) token = undefined;
    else return token === undefined && line.startsWith('::');
    return false;
  });
}

function printing(...documents: string[]): string {
  return `process.stdout.write(${JSON.stringify(documents.join(''))});`;
}

const report = createReport(sampleInput());

describe('runAction', () => {
  it('writes outputs, summary and warnings, and shows the report in the log', async () => {
    const done = await act(
      `process.stderr.write('working\\n'); ${printing(serializeReport(report))}`,
    );
    expect(done.exitCode).toBe(0);
    expect(parseOutputs(done.outputs)).toEqual({
      image: 'docker://nginx:debloated',
      digest: report.result.manifestDigest,
      overlay: './out/overlay.squashfs',
      'size-before': String(report.sizes.before.uncompressed),
      'size-after': String(report.sizes.after.uncompressed),
      report: 'out/report.json',
    });
    expect(done.summary).toMatch(/^### <code>docker:\/\/nginx:1<\/code>/);
    expect(done.log).toContain('working');
    expect(done.log).toContain('docker://nginx:1 → docker://nginx:debloated');
    expect(commandsIn(done.log)).toEqual([
      '::warning title=debloat::2 paths of sh could not be read',
      '::warning title=debloat::the image has no health check',
    ]);
  });

  it('publishes the result of a missed budget too, and fails with its exit code', async () => {
    const missed = createReport({ ...sampleInput(), limits: { maxSize: 1 } });
    const error = { error: { message: 'size budget missed: 100% over', exitCode: 3 } };
    const done = await act(
      `${printing(serializeReport(missed), `${JSON.stringify(error)}\n`)} process.exitCode = 3;`,
    );
    expect(done.exitCode).toBe(3);
    expect(parseOutputs(done.outputs)).toHaveProperty('size-after');
    expect(done.summary).toContain('budget missed');
    expect(commandsIn(done.log).at(-1)).toBe(
      '::error title=debloat::size budget missed: 100%25 over',
    );
  });

  it('tells a failure without a result, and writes no output', async () => {
    const error = {
      error: { message: 'there is no image\n::add-mask::x', hint: 'pull it', exitCode: 1 },
    };
    const done = await act(`${printing(JSON.stringify(error))} process.exitCode = 1;`);
    expect(done.exitCode).toBe(1);
    expect(done.outputs).toBe('');
    expect(commandsIn(done.log)).toEqual([
      '::error title=debloat::there is no image%0A::add-mask::x%0Apull it',
    ]);
    expect(done.summary).toBe(
      '### debloat failed\n\n    there is no image\n    ::add-mask::x\n    pull it\n',
    );
  });

  it('tells that it died where there is nothing on stdout', async () => {
    const done = await act(`process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 5000);`);
    expect(done.exitCode).toBe(130);
    expect(commandsIn(done.log)[0]).toContain('debloat ended with exit code 130');
  });

  it('obeys no workflow command that an image prints through us', async () => {
    const done = await act(
      `process.stderr.write('::set-output name=image::evil\\n::error::evil\\n'); ${printing(serializeReport(report))}`,
    );
    expect(done.log).toContain('::error::evil');
    expect(commandsIn(done.log).join('\n')).not.toContain('evil');
  });

  it('hands every input over as exactly one argument', async () => {
    const evil = `$(touch ${dir}/owned); "'\`id\` --squash`;
    const done = await act(
      `process.stderr.write(JSON.stringify(process.argv.slice(2)) + '\\n'); ${printing(serializeReport(report))}`,
      {
        INPUT_IMAGE: evil,
        INPUT_EXEC: `${evil}\n\n  -x  \r\n`,
        INPUT_MAX_SIZE: '--help',
        INPUT_ARGS: '--squash',
      },
    );
    const line = done.log.split('\n').find((text) => text.startsWith('["build"')) ?? '';
    expect(JSON.parse(line)).toEqual([
      'build',
      '--format=json',
      '--max-size=--help',
      `--exec=${evil}`,
      '--exec=-x',
      '--squash',
      '--',
      evil,
    ]);
  });

  it('refuses an empty image before anything runs', async () => {
    const done = await act('process.exitCode = 7;', { INPUT_IMAGE: ' ' });
    expect(done.exitCode).toBe(2);
    expect(commandsIn(done.log)).toEqual([
      '::error title=debloat::the input `image` is empty: name the image to debloat',
    ]);
  });
});

it('shows the report in the form asked for', () => {
  expect(readInputs({ INPUT_IMAGE: 'x' }).log).toBe('text');
  expect(readInputs({ INPUT_IMAGE: 'x', INPUT_FORMAT: 'none' }).log).toBe('none');
  expect(() => readInputs({ INPUT_IMAGE: 'x', INPUT_FORMAT: 'xml' })).toThrow('`format` is "xml"');
});

function parseOutputs(text: string): Record<string, string> {
  const found = [...text.matchAll(/^([\w-]+)<<(.+)\n([^]*?)\n\2\n/gm)];
  return Object.fromEntries(found.map(([, name = '', , value = '']) => [name, value]));
}
