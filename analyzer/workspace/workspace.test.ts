import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTimeOf } from './processes.js';
import { findStaleWorkspaces, sweepWorkspace, Workspace } from './workspace.js';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'workspace-test-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

describe('Workspace', () => {
  it('removes what was registered and itself', async () => {
    const workspace = await Workspace.create(parent);
    const file = join(parent, 'half-written');
    workspace.register({ kind: 'path', path: file });
    await writeFile(file, 'x');
    await workspace.dispose();
    expect(await readdir(parent)).toEqual([]);
  });

  it('leaves what was forgotten', async () => {
    const workspace = await Workspace.create(parent);
    const file = join(parent, 'result');
    const id = workspace.register({ kind: 'path', path: file });
    await writeFile(file, 'x');
    workspace.forget(id);
    await workspace.dispose();
    expect(await readdir(parent)).toEqual(['result']);
  });

  it('ends a registered process, but not a later one with its pid', async () => {
    const child = spawn('sleep', ['60']);
    const gone = new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    const pid = child.pid ?? 0;
    const workspace = await Workspace.create(parent);
    workspace.register({ kind: 'process', pid, startTime: startTimeOf(pid) ?? '' });
    workspace.register({ kind: 'process', pid: process.pid, startTime: 'of another process' });
    await workspace.dispose();
    expect(await gone).toBe('SIGKILL');
  });

  it('is not troubled by a path that could never be made', async () => {
    const workspace = await Workspace.create(parent);
    await writeFile(join(parent, 'file'), '');
    workspace.register({ kind: 'path', path: join(parent, 'file', 'inside') });
    await workspace.dispose();
    expect(await readdir(parent)).toEqual(['file']);
  });

  it('refuses at once a place where nothing can be made', async () => {
    await expect(Workspace.create('/proc/none/such')).rejects.toThrow(/cannot make/);
  });

  it('refuses a place that cannot be written, with a hint', async () => {
    const file = join(parent, 'file');
    await writeFile(file, '');
    await expect(Workspace.create(file)).rejects.toMatchObject({
      hint: expect.stringContaining('DEBLOAT_TMPDIR') as string,
    });
  });
});

describe('what a killed run leaves', () => {
  async function abandon(): Promise<{ dir: string; outside: string }> {
    const dir = join(parent, 'debloat-killed');
    const outside = join(parent, 'outside');
    await mkdir(dir);
    await mkdir(outside);
    await writeFile(join(dir, 'owner'), '999999999 1\n');
    const notes = [
      { add: 0, resource: { kind: 'path', path: outside } },
      { add: 1, resource: { kind: 'path', path: join(parent, 'kept') } },
      { remove: 1 },
    ];
    const torn = '{"add":2,"resource":{"ki';
    await writeFile(
      join(dir, 'journal'),
      notes.map((note) => `${JSON.stringify(note)}\n`).join('') + torn,
    );
    await writeFile(join(parent, 'kept'), '');
    return { dir, outside };
  }

  it('is found, and undone by its journal, torn last line or not', async () => {
    const { dir, outside } = await abandon();
    expect(await findStaleWorkspaces(parent)).toEqual([dir]);
    await sweepWorkspace(dir);
    expect(existsSync(outside)).toBe(false);
    expect(await readdir(parent)).toEqual(['kept']);
  });

  it('does not include the workspace of a run that is going on', async () => {
    const workspace = await Workspace.create(parent);
    expect(await findStaleWorkspaces(parent)).toEqual([]);
    await workspace.dispose();
  });
});
