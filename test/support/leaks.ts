import Docker from 'dockerode';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { workspaceParent } from './cli.js';

/** What a run of the tool could leave on the machine, one line each. */
export async function snapshotMachine(): Promise<Set<string>> {
  return new Set([
    ...mounts(),
    ...names('/run/netns', 'netns'),
    ...names(workspaceParent, 'workspace'),
    ...processes(),
    ...(await engineObjects()),
  ]);
}

/** Fails if there is anything on the machine now that `before` does not have. */
export async function expectNothingLeft(before: Set<string>, seconds = 20): Promise<void> {
  // what a killed run leaves is cleaned up by its reaper, a moment later
  const end = Date.now() + seconds * 1000;
  let left: string[];
  do {
    left = [...(await snapshotMachine())].filter((thing) => !before.has(thing));
    if (left.length === 0) return;
    await sleep(200);
  } while (Date.now() < end);
  expect(left).toEqual([]);
}

function names(dir: string, label: string): string[] {
  try {
    return readdirSync(dir).map((name) => `${label} ${name}`);
  } catch {
    return [];
  }
}

// Only mounts that could be ours: those of a container engine come and go with its containers.
function mounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(workspaceParent))
    .map((path) => `mount ${path}`);
}

// The tool, its reaper, its sensors: whatever was told of our workspaces, or lives in one.
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
        const places = `${readlinkSync(`/proc/${pid}/root`)} ${readlinkSync(`/proc/${pid}/cwd`)}`;
        const ours = [command, environment, places].some((text) => text.includes(workspaceParent));
        return ours ? [`process ${pid} ${command}`] : [];
      } catch {
        return []; // it ended while we looked
      }
    });
}

// What carries the tool's marks, and what a forgotten removal would leave without a name. Another debloat
// that runs on the same engine meanwhile is not told apart.
async function engineObjects(): Promise<string[]> {
  const docker = new Docker();
  const [containers, images, volumes] = await Promise.all([
    docker.listContainers({ all: true, filters: { label: ['dev.debloat.workspace'] } }),
    docker.listImages(),
    docker.listVolumes(),
  ]);
  return [
    ...containers.map((container) => `container ${container.Id} ${container.Image}`),
    ...images
      .flatMap((image) => image.RepoTags ?? [image.Id])
      .filter((name) => /debloat-run:|<none>|^sha256:/.test(name))
      .map((name) => `image ${name}`),
    ...volumes.Volumes.map((volume) => volume.Name)
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .map((name) => `volume ${name}`),
  ];
}
