import type { Node } from '../../analyzer/image/types.js';

/** Bytes of a block, as ext4 and erofs have them here. */
export const capacityBlock = 4096;

/** `size` rounded up to whole blocks. */
export function wholeBlocks(size: number): number {
  return Math.ceil(size / capacityBlock) * capacityBlock;
}

/** An upper bound of what the nodes take: whole blocks for each file, directory and attribute block. */
export function capacityFor(nodes: readonly Node[]): { bytes: number; inodes: number } {
  let bytes = 0;
  for (const { kind, inode, children } of nodes) {
    bytes += wholeBlocks(inode.storedSize) + (inode.xattrs ? capacityBlock : 0);
    if (kind === 'dir') bytes += capacityBlock + wholeBlocks(2 * (children?.size ?? 0) * 64);
    if (inode.link !== undefined) bytes += capacityBlock;
    bytes += wholeBlocks((inode.sparse?.length ?? 0) * 2 * capacityBlock);
  }
  return { bytes, inodes: nodes.length };
}
