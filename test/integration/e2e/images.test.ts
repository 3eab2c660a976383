import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseReport } from '../../../analyzer/report/read.js';
import type { Report } from '../../../analyzer/report/model.js';
import { runCli, runCliWell } from '../../support/cli.js';
import { docker, serveByRunc, TestContainer } from '../../support/container.js';
import { testImage } from '../../support/images.js';
import { expectNothingLeft, snapshotMachine } from '../../support/leaks.js';
import { scratchDirectory } from '../../support/scratch.js';
import { workloads } from './workloads.js';

const scratch = scratchDirectory();

function reportOf(dir: string): Report {
  const file = join(dir, 'report.json');
  return parseReport(readFileSync(file, 'utf8'), file);
}

async function inspectConfig(name: string): Promise<{ Labels?: Record<string, string> | null }> {
  const text = await docker('inspect', '--format', '{{json .Config}}', name);
  return JSON.parse(text) as { Labels?: Record<string, string> | null };
}

/** The original again, and its image ID, from what a build left in `dir`. */
async function restoredId(debloated: string, dir: string): Promise<string> {
  const { stdout } = await runCliWell([
    'restore',
    debloated,
    join(dir, 'overlay.squashfs'),
    '--output-dir',
    join(dir, 'restored'),
    '--format',
    'json',
  ]);
  return (JSON.parse(stdout) as { configDigest: string }).configDigest;
}

describe.each(workloads)('debloat build of $image, on the Docker engine', (workload) => {
  const { image, probes } = workload;
  const tag = `debloat-test/${image}:small`;
  const dir = join(scratch, image);
  afterAll(async () => {
    await docker('rmi', '--force', tag);
  });

  it('gives a smaller image, verified, and leaves nothing else', async () => {
    const before = await snapshotMachine();
    await runCliWell([
      'build',
      testImage(image).docker,
      ...probes,
      '--runtime',
      'docker',
      '--tag',
      tag,
      '--output-dir',
      dir,
    ]);
    await expectNothingLeft(before);

    const report = reportOf(dir);
    expect(report.verification).toEqual({ status: 'passed', why: null });
    const { sizes } = report;
    expect(sizes.after.uncompressed / sizes.before.uncompressed).toBeLessThanOrEqual(
      workload.atMost,
    );
    expect(report.trace.unreadable).toEqual({});
  });

  it('does what it did, as docker runs it', async () => {
    await using container = await TestContainer.start(tag);
    expect(await workload.works(container)).toMatch(workload.gives);
    if (workload.rare) expect(await workload.rare.does(container)).toMatch(workload.rare.gives);
  });

  it('keeps the configuration, and says in labels what it is made of', async () => {
    const original = await inspectConfig(`debloat-test/${image}:1`);
    const debloated = await inspectConfig(tag);
    const ours = Object.keys(debloated.Labels ?? {}).filter((key) =>
      key.startsWith('dev.debloat.'),
    );
    expect(ours).toContain('dev.debloat.overlay.digest');
    const labels = Object.entries(debloated.Labels ?? {}).filter(([key]) => !ours.includes(key));
    expect({ ...debloated, Labels: null }).toEqual({ ...original, Labels: null });
    expect(Object.fromEntries(labels)).toEqual(original.Labels ?? {});
  });

  it('is the original again together with its overlay', async () => {
    const original = await docker('inspect', '--format', '{{.Id}}', `debloat-test/${image}:1`);
    expect(await restoredId(`docker://${tag}`, dir)).toBe(original);
  });
});

describe.each(['nginx', 'static', 'odd', 'odd-oci'])(
  'debloat build of %s, with runc and no engine',
  (image) => {
    const dir = join(scratch, `${image}-runc`);
    const page = /Served by|Everything odd is in its place/;

    it('gives an image that works, and leaves nothing else', async () => {
      const before = await snapshotMachine();
      await runCliWell(
        [
          'build',
          testImage(image).registry,
          '--http',
          '/',
          '--runtime',
          'runc',
          '--output-dir',
          dir,
        ],
        { env: { DOCKER_HOST: 'unix:///nowhere/docker.sock' } },
      );
      await expectNothingLeft(before);
      expect(reportOf(dir).verification.status).toBe('passed');
      expect(await serveByRunc(join(dir, 'image'), '/')).toMatch(page);
    });

    it('is the original again together with its overlay', async () => {
      expect(await restoredId(`oci:${join(dir, 'image')}`, dir)).toBe(
        reportOf(dir).source.configDigest,
      );
      expect(await serveByRunc(join(dir, 'image'), '/')).toMatch(page);
    });
  },
);

describe('memcached, which closes its memory to other processes', () => {
  it('is traced all the same, and works afterwards', async () => {
    const dir = join(scratch, 'memcached');
    const args = ['--tcp', '11211', '--runtime', 'runc', '--output-dir', dir];
    await runCliWell(['build', testImage('memcached').oci, ...args]);
    const report = reportOf(dir);
    expect(report.trace.unreadable).toEqual({});
    expect(report.verification.status).toBe('passed');
    expect(report.sizes.after.uncompressed).toBeLessThan(report.sizes.before.uncompressed * 0.35);
  });
});

describe('the same input', () => {
  it('gives the same digests again, and the same layers whatever transport it came by', async () => {
    const trace = join(scratch, 'nginx', 'trace.json');
    const { oci, registry, docker: engine } = testImage('nginx');
    const build = async (reference: string): Promise<Report> => {
      const output = ['--format', 'json', '--output-dir', join(scratch, 'same')];
      const args = ['build', reference, '--trace', trace, '--no-verify', ...output];
      return JSON.parse((await runCliWell(args)).stdout) as Report;
    };
    const layersOf = (report: Report): string[] =>
      report.sizes.after.layers.map((layer) => layer.diffId);
    const first = await build(oci);
    const again = await build(oci);
    expect(again.result).toEqual(first.result);
    expect(again.overlay.digest).toBe(first.overlay.digest);
    expect(layersOf(await build(registry))).toEqual(layersOf(first));
    expect(layersOf(await build(engine))).toEqual(layersOf(first));
  });
});

describe('exit codes', () => {
  it('2 for wrong usage, 3 for a missed budget with nothing tagged', async () => {
    expect((await runCli(['build'])).code).toBe(2);
    expect((await runCli(['build', 'x', '--overlay', 'floppy'])).code).toBe(2);
    const noEnv = await runCli(['build', 'x', '--env-file', '/nowhere/env']); // node has one, too
    expect(noEnv).toMatchObject({ code: 2, stdout: '' });
    expect(noEnv.stderr).toContain('cannot read the environment file /nowhere/env');
    const tag = 'debloat-test/static:budget';
    const args = ['build', testImage('static').docker, '--http', '/', '--max-size', '1kB'];
    const result = await runCli([...args, '--tag', tag, '--output-dir', join(scratch, 'budget')]);
    expect(result.code).toBe(3);
    await expect(docker('inspect', tag)).rejects.toThrow(/No such/);
  });
});
