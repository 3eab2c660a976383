import { execa } from 'execa';
import type { Check } from './check.js';

interface Tool {
  command: string;
  versionArgs: string[];
  package: string;
  needed: boolean;
  purpose: string;
}

const tools: Tool[] = [
  {
    command: 'skopeo',
    versionArgs: ['--version'],
    package: 'skopeo',
    needed: true,
    purpose: 'images from and to registries, layouts and archives',
  },
  {
    command: 'sqfstar',
    versionArgs: ['-version'],
    package: 'squashfs-tools',
    needed: true,
    purpose: 'squashfs overlays',
  },
  {
    command: 'unsquashfs',
    versionArgs: ['-version'],
    package: 'squashfs-tools',
    needed: true,
    purpose: 'restore from squashfs overlays',
  },
  {
    command: 'tar',
    versionArgs: ['--version'],
    package: 'tar',
    needed: true,
    purpose: 'unpacking images',
  },
  {
    command: 'mke2fs',
    versionArgs: ['-V'],
    package: 'e2fsprogs',
    needed: false,
    purpose: 'ext4 overlays',
  },
  {
    command: 'mkfs.erofs',
    versionArgs: ['-h'],
    package: 'erofs-utils',
    needed: false,
    purpose: 'erofs overlays',
  },
  {
    command: 'zstd',
    versionArgs: ['--version'],
    package: 'zstd',
    needed: false,
    purpose: 'images with zstd layers',
  },
  {
    command: 'ip',
    versionArgs: ['-V'],
    package: 'iproute2',
    needed: false,
    purpose: 'a network of its own for the workload on runc and crun',
  },
];

/** Whether the system tools that debloat calls are there. */
export async function checkTools(): Promise<Check[]> {
  return Promise.all(tools.map(checkTool));
}

async function checkTool(tool: Tool): Promise<Check> {
  const { command, package: name, purpose } = tool;
  const result = await execa(command, tool.versionArgs, {
    reject: false,
    all: true,
    stdin: 'ignore',
    timeout: 10_000,
  });
  if (result.code === 'ENOENT') {
    return {
      name: command,
      status: tool.needed ? 'failed' : 'limited',
      detail: `not found; needed for ${purpose}`,
      fix: `apt-get install ${name}`,
    };
  }
  const version = /\d+\.\d[\w.+~-]*/.exec(result.all)?.[0];
  return { name: command, status: 'ok', detail: version ? `${version} (${purpose})` : purpose };
}
