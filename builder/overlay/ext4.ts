import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { DebloatError } from '../../analyzer/errors.js';
import type { Entry } from '../../analyzer/image/types.js';
import { runTool } from '../run-tool.js';
import type { OverlaySource, OverlayWriter } from './format.js';
import { runOnUnpackedTar } from './unpacked-tar.js';

const blockSize = 4096;
const journalMebibytes = 4; // the least
// What every kernel since 4.0 can read; no journal, as an overlay is never written to.
const features =
  'none,extent,filetype,sparse_super,large_file,huge_file,dir_nlink,extra_isize,flex_bg,ext_attr,dir_index,64bit';
// Instead of the machine's own /etc/mke2fs.conf.
const configuration =
  '[defaults]\n[fs_types]\n\text4 = {\n\t}\n\tsmall = {\n\t}\n\tbig = {\n\t}\n\thuge = {\n\t}\n';

/** ext4 by e2fsprogs 1.47 or later. */
export const ext4: OverlayWriter = {
  readsSparse: () => true,

  async write(source) {
    const { file, uuid, workspace, capacity, writable } = source;
    const config = join(await workspace.directory('mke2fs'), 'mke2fs.conf');
    await writeFile(config, configuration);
    const inodes = capacity.inodes + 16;
    const size =
      capacity.bytes +
      inodes * 300 +
      Math.ceil(capacity.bytes / 50) +
      4 * 1024 * 1024 * (writable ? 2 : 1);
    await writeFile(file, '');
    await truncate(file, Math.ceil(size / blockSize) * blockSize);
    const options = [
      ...['-q', '-F', '-t', 'ext4', '-b', String(blockSize), '-I', '256'],
      ...['-O', writable ? `${features},has_journal` : features],
      ...(writable ? ['-J', `size=${journalMebibytes}`] : []),
      ...['-m', '0', '-N', String(inodes), '-U', uuid],
      ...['-E', `hash_seed=${uuid},nodiscard,root_owner=0:0`],
    ];
    const command = (dir: string): string[] => [...options, '-d', dir, file];
    const env = { MKE2FS_CONFIG: config, E2FSPROGS_FAKE_TIME: '1' };
    await runOnUnpackedTar(source, 'mke2fs', command, env);
    await normalize(source);
  },

  async unpack(file, dir, { workspace, signal }) {
    // debugfs reads commands line by line; the directory is ours and has no odd characters
    const output = await runTool('debugfs', ['-R', `rdump / "${dir}"`, file], {
      workspace,
      signal,
      makes: `the files of the overlay ${file}`,
    });
    if (/bad magic number|unable to open filesystem/i.test(output)) {
      throw new DebloatError(`${file} is no ext4 file system`);
    }
  },
};

/**
 * mke2fs copies access and change times of the unpacked files, which are of this run, adds
 * lost+found, and leaves the root directory as it likes: set all of that to fixed values.
 */
async function normalize({ file, makes, workspace, signal, root }: OverlaySource): Promise<void> {
  const common = { workspace, signal, makes };
  const env = { E2FSPROGS_FAKE_TIME: '1' };
  const stats = await runTool('debugfs', ['-R', 'stats -h', file], { ...common, env });
  const number = (label: string): number =>
    Number(new RegExp(`^${label}:\\s+([0-9]+)`, 'm').exec(stats)?.[1] ?? NaN);
  const used = number('Inode count') - number('Free inodes');
  if (!Number.isInteger(used)) throw new Error('debugfs does not tell the number of inodes');
  await runTool('debugfs', ['-w', '-f', '-', file], {
    ...common,
    env,
    input: Readable.from(commands(used, root)),
  });
}

function* commands(used: number, root: Entry): Generator<Buffer> {
  const lines = ['rmdir lost+found'];
  for (let inode = 2; inode <= used; inode++) {
    if (inode > 2 && inode < 12) continue; // reserved ones and lost+found
    lines.push(`sif <${inode}> ctime @0`, `sif <${inode}> atime @0`);
    if (lines.length > 1000) yield Buffer.from(`${lines.splice(0).join('\n')}\n`);
  }
  lines.push(
    `sif <2> mode 0${(0o40000 | root.mode).toString(8)}`,
    `sif <2> uid ${root.uid}`,
    `sif <2> gid ${root.gid}`,
    `sif <2> mtime @${Math.max(0, Math.floor(root.mtime))}`,
  );
  yield Buffer.from(`${lines.join('\n')}\n`);
}
