import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import { defaultLoaders } from 'cosmiconfig';
import Docker from 'dockerode';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readReport } from '../../analyzer/report/read.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const registry = process.env['DEBLOAT_TEST_REGISTRY'] ?? '';

interface Step {
  id?: string;
  run: string;
  env?: Record<string, string>;
}

interface JobResult {
  /** Exit code of the step that failed, or 0. */
  exitCode: number;
  log: string;
  outputs: Record<string, string>;
  summary: string;
}

let dir: string;
let tag: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'action-'));
  tag = `action-${randomUUID().slice(0, 8)}`;
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Run the steps of action.yml one after the other, as GitHub's runner does (`shell: sh` is `sh -e FILE`). */
async function runAction(
  inputs: Record<string, string>,
  machine: Record<string, string> = {},
): Promise<JobResult> {
  const file = join(root, 'action.yml');
  const definition = (await defaultLoaders['.yml'](file, await readFile(file, 'utf8'))) as {
    runs: { steps: Step[] };
  };
  const outputs = join(dir, 'outputs');
  const summary = join(dir, 'summary');
  await Promise.all([writeFile(outputs, ''), writeFile(summary, '')]);
  let log = '';
  let exitCode = 0;
  for (const [index, step] of definition.runs.steps.entries()) {
    const script = join(dir, `step-${index}.sh`);
    await writeFile(script, step.run);
    const done = await execa('sh', ['-e', script], {
      cwd: dir,
      all: true,
      reject: false,
      stdin: 'ignore',
      env: {
        CI: 'true',
        NO_COLOR: '1',
        GITHUB_ACTIONS: 'true',
        GITHUB_ACTION_PATH: root,
        GITHUB_OUTPUT: outputs,
        GITHUB_STEP_SUMMARY: summary,
        ...machine,
        ...evaluate(step.env ?? {}, inputs),
      },
    });
    log += `${done.all}\n`;
    exitCode = done.exitCode ?? -1;
    if (exitCode !== 0) break;
  }
  return {
    exitCode,
    log,
    outputs: parseOutputs(await readFile(outputs, 'utf8')),
    summary: await readFile(summary, 'utf8'),
  };
}

function evaluate(
  env: Record<string, string>,
  inputs: Record<string, string>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => [
      name,
      value.replace(/\$\{\{ inputs\.([\w-]+) \}\}/g, (_, input: string) => inputs[input] ?? ''),
    ]),
  );
}

function parseOutputs(text: string): Record<string, string> {
  const found = [...text.matchAll(/^([\w-]+)<<(.+)\n([^]*?)\n\2\n/gm)];
  return Object.fromEntries(found.map(([, name = '', , value = '']) => [name, value]));
}

describe('the GitHub Action with an engine', () => {
  const engine = new Docker();

  it('debloats an image of the engine and tells where everything is', async () => {
    const job = await runAction({
      image: 'debloat-test/nginx:1',
      tag: `docker://debloat-test/${tag}:slim`,
      http: '/\n/index.html 2xx\n',
      'max-size': '150MB',
      'min-savings': '20%',
    });
    try {
      expect(job.log).not.toContain('::error');
      expect(job.exitCode).toBe(0);
      const report = await readReport(resolve(dir, job.outputs['report'] ?? ''));
      expect(report.verification.status).toBe('passed');
      expect(report.probes.map(({ debloated }) => debloated?.ok)).toEqual([true, true]);
      expect(job.outputs).toMatchObject({
        image: `docker://debloat-test/${tag}:slim`,
        digest: report.result.manifestDigest,
        'size-before': String(report.sizes.before.uncompressed),
        'size-after': String(report.sizes.after.uncompressed),
      });
      expect(Number(job.outputs['size-after'])).toBeLessThan(
        Number(job.outputs['size-before']) * 0.8,
      );
      await readFile(resolve(dir, job.outputs['overlay'] ?? ''));
      expect(job.summary).toContain('debloat-test/nginx:1');
      const tagged = await engine.getImage(`debloat-test/${tag}:slim`).inspect();
      expect(tagged.Id).toBe(report.result.configDigest);
    } finally {
      await engine.getImage(`debloat-test/${tag}:slim`).remove();
    }
  });

  it('fails with exit code 3, and tags nothing, if a budget is missed', async () => {
    const job = await runAction({
      image: 'debloat-test/static:1',
      tag: `debloat-test/${tag}:slim`,
      'max-size': '1kB',
      format: 'none',
    });
    expect(job.exitCode).toBe(3);
    expect(job.log).toMatch(/^::error title=debloat::size budget missed: /m);
    expect(job.summary).toContain('budget missed');
    expect(job.outputs['image']).toBe('');
    expect((await readReport(resolve(dir, job.outputs['report'] ?? ''))).budgets?.met).toBe(false);
    await expect(engine.getImage(`debloat-test/${tag}:slim`).inspect()).rejects.toMatchObject({
      statusCode: 404,
    });
  });

  it('fails with exit code 1 and an annotation if there is no such image', async () => {
    const job = await runAction({ image: `docker://debloat-test/${tag}:none` });
    expect(job.exitCode).toBe(1);
    expect(job.log).toMatch(new RegExp(`^::error title=debloat::.*${tag}`, 'm'));
    expect(job.summary).toContain('debloat failed');
    expect(job.outputs).toEqual({});
  });
});

describe('the GitHub Action without an engine', () => {
  const machine = { DOCKER_HOST: `unix:///nonexistent/${randomUUID()}.sock` };

  it('debloats an image of a registry with an OCI runtime and pushes the result', async () => {
    const target = `registry://${registry}/${tag}:slim`;
    const job = await runAction(
      {
        image: `registry://${registry}/nginx:1`,
        tag: target,
        http: '/',
        overlay: 'erofs',
        'output-dir': 'out dir',
      },
      machine,
    );
    expect(job.log).not.toContain('::error');
    expect(job.exitCode).toBe(0);
    const report = await readReport(join(dir, 'out dir'));
    expect(report.verification.status).toBe('passed');
    expect(report.trace.runs[0]?.runtime).toMatch(/^(runc|crun) /);
    expect(report.overlay.format).toBe('erofs');
    expect(job.outputs['image']).toBe(target);
    const { stdout } = await execa('skopeo', [
      ...['inspect', '--tls-verify=false', '--format', '{{.Digest}}'],
      `docker://${registry}/${tag}:slim`,
    ]);
    expect(stdout).toBe(job.outputs['digest']);
  });
});
