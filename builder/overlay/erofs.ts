import { runTool } from '../run-tool.js';
import type { OverlayWriter } from './format.js';
import { runOnUnpackedTar } from './unpacked-tar.js';

// mkfs.erofs lowers later times to this one and stamps the file system with it: beyond all real times.
const epoch = '253402300799';

/** erofs by erofs-utils 1.5 or later, compressed with lz4 (Linux 5.4 and later). */
export const erofs: OverlayWriter = {
  readsSparse: () => true,

  async write(source) {
    const options = ['--quiet', '-zlz4', '-U', source.uuid];
    const command = (dir: string): string[] => [...options, source.file, dir];
    await runOnUnpackedTar(source, 'mkfs.erofs', command, { SOURCE_DATE_EPOCH: epoch });
  },

  async unpack(file, dir, { workspace, signal }) {
    const args = [`--extract=${dir}`, '--force', '--overwrite', '--no-preserve', file];
    await runTool('fsck.erofs', args, {
      workspace,
      signal,
      makes: `the files of the overlay ${file}`,
    });
  },
};
