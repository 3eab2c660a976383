import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DebloatError } from '../../analyzer/errors.js';
import { pathToBytes } from '../../analyzer/image/path.js';
import { hasTool, runTool } from '../run-tool.js';
import type { OverlaySource } from './format.js';

const tarArguments = [
  ...['--extract', '--file=-', '--numeric-owner', '--same-owner', '--same-permissions'],
  ...['--delay-directory-restore', '--warning=no-timestamp'],
  // else absolute symlinks are made last and spoil their directory's time; names here are relative
  '--absolute-names',
];

/**
 * Unpack the tar of `source` with GNU tar into a directory of the workspace and run a tool on it that
 * reads a directory only. Without root both happen in one fakeroot, which remembers owners, devices
 * and extended attributes.
 *
 * @param command gives the tool's arguments for the directory.
 */
export async function runOnUnpackedTar(
  source: OverlaySource,
  tool: string,
  command: (dir: string) => string[],
  env: Record<string, string>,
): Promise<void> {
  const { workspace, signal, makes } = source;
  const dir = await workspace.directory('overlay');
  const unpack = [...tarArguments, `--directory=${dir}`];
  const common = { workspace, signal, makes };
  if (process.getuid?.() === 0) {
    const xattrs = ['--xattrs', '--xattrs-include=*'];
    await runTool('tar', [...unpack, ...xattrs], { ...common, input: source.tar });
    await runTool(tool, command(dir), { ...common, env });
  } else {
    const dump = join(await workspace.directory('xattrs'), 'dump');
    await writeFile(dump, attributeDump(source.attributed));
    await requireTools(makes);
    const args = ['--norc', '-c', underFakeroot, dump, dir, ...unpack, '', tool, ...command(dir)];
    await runTool('fakeroot', ['--', 'bash', ...args], { ...common, env, input: source.tar });
  }
  await rm(dir, { recursive: true, force: true });
}

// Its arguments: those of tar, an empty one, the tool and its own. fakeroot 1.31 forgets the type of
// a file that gets an attribute before its owner, as tar does it: so attributes come last.
const underFakeroot = `
  set -e
  dir=$1 tar=(); shift
  while [ "$1" != "" ]; do tar+=("$1"); shift; done; shift
  tar "\${tar[@]}"
  if [ -s "$0" ]; then (cd "$dir"; setfattr --restore="$0"); fi
  exec "$@"`;

async function requireTools(makes: string): Promise<void> {
  for (const tool of ['fakeroot', 'setfattr']) {
    if (await hasTool(tool)) continue;
    throw new DebloatError(`without root, ${tool} is needed for ${makes}`, {
      hint: 'install it (apt-get install fakeroot attr), or take squashfs',
    });
  }
}

/** What `setfattr --restore` reads: names relative to the directory, odd bytes in octal. */
function attributeDump(attributed: OverlaySource['attributed']): Buffer {
  const lines = attributed.flatMap(({ path, xattrs }) => [
    `# file: ${path === '/' ? '.' : escape(pathToBytes(path.slice(1)))}`,
    ...[...xattrs].map(([name, value]) => `${name}=0s${value.toString('base64')}`),
    '',
  ]);
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

function escape(bytes: Buffer): string {
  return [...bytes]
    .map((byte) =>
      byte > 0x20 && byte < 0x7f && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\${byte.toString(8).padStart(3, '0')}`,
    )
    .join('');
}
