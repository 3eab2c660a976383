import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import { overlayFormats } from '../types.js';

/** The version of the format; raised only when a reader of the old one would go wrong. */
export const vmVersion = 1;

const digest = z.templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)]);
const size = z.int().nonnegative();
const file = z.object({ file: z.string(), digest, size });
const image = z.object({ manifestDigest: digest, configDigest: digest });

/** Schema of /.debloat/image.json in the guest: which image runs there, and which overlay completes it. */
export const guestImageSchema = z.object({
  schemaVersion: z.literal(vmVersion),
  source: image.extend({ reference: z.string() }),
  debloated: image,
  overlay: z.object({ digest, format: z.enum(overlayFormats), size }),
});

/** Schema of vm.json (docs/vm.md). Files are named relative to its directory. */
export const vmSchema = guestImageSchema.extend({
  platform: z.string(),
  root: file.extend({ format: z.enum(overlayFormats), readOnly: z.boolean() }),
  kernel: file
    .extend({ kind: z.enum(['bzImage', 'vmlinux', 'Image']), release: z.string().nullable() })
    .nullable(),
  initramfs: file.extend({ modules: z.array(z.string()) }).nullable(),
  commandLine: z.string(),
  memoryMebibytes: z.int().positive(),
  ports: z.array(z.int()),
});

export type GuestImage = z.infer<typeof guestImageSchema>;
/** A microVM that `debloat build --vm` made. */
export type VmDescription = z.infer<typeof vmSchema>;

/** Name of the description in the directory of a microVM. */
export const vmFileName = 'vm.json';

/** Read back the description of the microVM in `dir`. Throws a DebloatError if there is none. */
export async function readVmDescription(dir: string): Promise<VmDescription> {
  const path = join(dir, vmFileName);
  try {
    return vmSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const problem =
      error instanceof z.ZodError ? z.prettifyError(error).split('\n')[0] : messageOf(error);
    throw new DebloatError(`${path} does not describe a microVM: ${problem}`, {
      hint: 'give a directory that `debloat build --vm DIR` of this version wrote',
      cause: error,
    });
  }
}
