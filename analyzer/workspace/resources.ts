import { setTimeout as delay } from 'node:timers/promises';
import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import type Docker from 'dockerode';
import { killSameProcess } from './processes.js';

/**
 * Something outside this process that must not outlive it. Plain data, so that it can be written to
 * the workspace's journal and undone by another process if this one is killed.
 */
export type Resource =
  | { kind: 'path'; path: string }
  | { kind: 'process'; pid: number; startTime: string }
  | { kind: 'mount'; path: string }
  | { kind: 'netns'; name: string }
  | { kind: 'oci-container'; binary: string; root: string; id: string }
  | { kind: 'engine-container'; engine: Docker.DockerOptions; id: string }
  | { kind: 'engine-image'; engine: Docker.DockerOptions; name: string };

/**
 * Undo `resource`; succeeds if it is gone already, rejects if it is still there afterwards. An engine
 * finishes what a killed run had asked of it: `patience` (milliseconds) waits for what is not there yet.
 */
export async function release(resource: Resource, patience = 0): Promise<void> {
  switch (resource.kind) {
    case 'path':
      await removePath(resource.path);
      return;
    case 'process':
      killSameProcess(resource.pid, resource.startTime);
      return;
    case 'mount':
      await execa('umount', ['--lazy', '--recursive', resource.path], { reject: false });
      return;
    case 'netns':
      await execa('ip', ['netns', 'delete', resource.name], { reject: false });
      return;
    case 'oci-container':
      await execa(resource.binary, ['--root', resource.root, 'delete', '--force', resource.id], {
        reject: false,
      });
      return;
    case 'engine-container':
      await ignoreGone(patience, async () =>
        (await engine(resource.engine)).getContainer(resource.id).remove({ force: true, v: true }),
      );
      return;
    case 'engine-image':
      await ignoreGone(patience, async () =>
        (await engine(resource.engine)).getImage(resource.name).remove({ force: true }),
      );
      return;
  }
}

/** A client of the engine. The library is large: only who needs it is to load it. */
async function engine(options: Docker.DockerOptions): Promise<Docker> {
  const { default: Docker } = await import('dockerode');
  return new Docker(options);
}

async function removePath(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    // What should have been a directory on the way to it is none: so it was never made.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTDIR') throw error;
  }
}

async function ignoreGone(patience: number, remove: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + patience;
  for (;;) {
    try {
      await remove();
      return;
    } catch (error) {
      const status = (error as { statusCode?: number }).statusCode;
      if (status !== 404 && status !== 409) throw error;
      if (performance.now() >= end) return;
    }
    await delay(500);
  }
}
