import { execa } from 'execa';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ociRuntime } from '../../analyzer/runtime/oci/runtime.js';
import { selectRuntime, surveyRuntimes } from '../../analyzer/runtime/select.js';
import { openImage } from '../../analyzer/transport/open-image.js';
import { Workspace } from '../../analyzer/workspace/workspace.js';
import { testImage } from '../support/images.js';
import { describeRuntime, Loaded, use } from '../support/runtime-contract.js';
import { scratchDirectory } from '../support/scratch.js';

describeRuntime('runc', () => ociRuntime('runc'));

const scratch = scratchDirectory();
const noEngine = { DOCKER_HOST: 'unix:///nowhere/docker.sock', CONTAINER_HOST: 'unix:///nowhere' };

describe('without an engine', () => {
  it('an OCI runtime is taken', async () => {
    expect((await selectRuntime({ env: noEngine })).name).toBe('runc');
  });

  it('each refusal is explained', async () => {
    const survey = await surveyRuntimes(noEngine);
    expect(survey.map(({ name }) => name)).toEqual(['docker', 'podman', 'runc', 'crun']);
    for (const one of survey) {
      if (!one.available) expect(one.reason).not.toBe('');
    }
    expect(survey[0]).toMatchObject({ available: false });
    await expect(selectRuntime({ env: noEngine, force: 'docker' })).rejects.toThrow(
      /--runtime docker cannot be used: .*there is no such socket/,
    );
  });

  it('a container killed by someone else is a failure of the run, with its reason', async () => {
    await using target = await Loaded.from('static', await ociRuntime('runc'));
    const container = await target.run();
    try {
      await use(target.image, container);
      const journal = target.workspace.path('journal');
      const { stdout } = await execa('grep', ['-o', '"root":"[^"]*"', journal]);
      const root = stdout.split('\n').at(-1)?.slice('"root":"'.length, -1) ?? '';
      await execa('runc', ['--root', root, 'delete', '--force', container.id]);
      expect(await container.exited).toEqual({ code: 137 });
      expect(await container.stop()).toEqual({ code: 137 });
    } finally {
      await container.remove();
    }
    expect(await target.traces()).toEqual([]);
  });

  it('works where the workspace lies on an overlay itself, as in a container', async () => {
    const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => {
      const dir = join(scratch, name);
      mkdirSync(dir);
      return dir;
    });
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    await execa('mount', ['-t', 'overlay', 'overlay', '-o', layers, String(merged)]);
    try {
      await using target = await Loaded.from('static', await ociRuntime('runc'), merged);
      const container = await target.run();
      try {
        expect((await use(target.image, container)).failure).toBeUndefined();
      } finally {
        await container.stop();
        await container.remove();
      }
      expect(readdirSync(target.workspace.dir).filter((name) => /^run-/.test(name))).toEqual([]);
    } finally {
      await execa('umount', [String(merged)]);
    }
  });

  it('shares this machine’s network where there can be none of its own, and says so', async () => {
    const bin = join(scratch, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'ip'), '#!/bin/sh\necho "no namespaces today" >&2\nexit 1\n');
    chmodSync(join(bin, 'ip'), 0o755);
    await using target = await Loaded.from('static', await ociRuntime('runc'));
    const path = process.env['PATH'];
    process.env['PATH'] = `${bin}:${path ?? ''}`;
    try {
      const container = await target.run({ cmd: ['/site'] });
      try {
        expect(container.warnings.join()).toContain('no namespaces today');
        expect(container.host).toBe('127.0.0.1');
        expect((await use(target.image, container)).failure).toBeUndefined();
      } finally {
        await container.stop();
        await container.remove();
      }
    } finally {
      process.env['PATH'] = path;
    }
    expect(await target.traces()).toEqual([]);
  });

  it('an interrupt ends the loading, and leaves nothing', async () => {
    await using workspace = await Workspace.create();
    const image = await openImage(testImage('nginx').oci, { workspace });
    const before = readdirSync(workspace.dir);
    const runtime = await ociRuntime('runc');
    const loading = runtime.load(image, workspace, AbortSignal.timeout(20));
    await expect(loading).rejects.toThrow();
    expect(readdirSync(workspace.dir).length).toBeLessThanOrEqual(before.length + 2);
  });

  it('UDP cannot be published, and says so', async () => {
    await using target = await Loaded.from('static', await ociRuntime('runc'));
    await expect(target.run({ publish: ['53:53/udp'] })).rejects.toThrow('UDP is not published');
    expect(await target.traces()).toEqual([]);
  });
});
