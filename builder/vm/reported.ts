import type { Digest } from '../../analyzer/image/types.js';
import type { Report } from '../../analyzer/report/model.js';
import type { VmDescription } from './description.js';

/** What the report says of a microVM in `dir`. */
export function reportedVm(
  { root, initramfs, kernel, memoryMebibytes }: VmDescription,
  dir: string,
): NonNullable<Report['vm']> {
  const measured = (file: { file: string; digest: Digest; size: number } | null) =>
    file && { file: file.file, digest: file.digest, size: file.size };
  return {
    dir,
    root: { file: root.file, digest: root.digest, size: root.size, format: root.format },
    initramfs: measured(initramfs),
    kernel: measured(kernel),
    memoryMebibytes,
  };
}
