import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DebloatError } from '../../analyzer/errors.js';
import { measureFile } from '../../builder/stream/blob.js';
import { vmFileName, vmSchema, type VmDescription } from '../../builder/vm/description.js';
import { failureReason } from '../../native/linux/system-error.js';
import { overlayHint, requireFileSystem } from '../overlay-file-system.js';
import { commandLine, workingDirectory } from '../hypervisor/procfs.js';

export interface VmOverlay {
  path: string;
  digest: string;
  /** Whether the machine tells that it is the one which belongs to it. */
  isProved: boolean;
}

/**
 * The overlay to attach: `given`, else that of the image which the machine of process `pid` was built
 * from. Throws DebloatError where there is none, or it is not the one that belongs to the image.
 */
export async function overlayOf(pid: number, given: string | undefined): Promise<VmOverlay> {
  const words = commandLine(pid);
  const image = /\bdebloat\.image=(sha256:[0-9a-f]{64})\b/.exec(words.join(' '))?.[1];
  const folders = foldersOf(pid, words);
  const vm = descriptionIn(folders, image);
  if (given !== undefined) {
    const path = resolve(given);
    if (vm) return checked(path, vm);
    const digest = await digestOf(path);
    requireFileSystem(given, path);
    return { path, digest, isProved: false };
  }
  if (vm === undefined) {
    throw new DebloatError(
      image === undefined
        ? `The virtual machine of process ${pid} does not tell which image it was built from.`
        : `No description (${vmFileName}) of the image ${image} was found beside the machine’s disks.`,
      { hint: 'give the overlay: --overlay FILE' },
    );
  }
  const name = `overlay.${vm.overlay.format}`;
  const path = folders
    .flatMap((folder) => [join(folder, name), join(dirname(folder), name)])
    .find((each) => existsSync(each));
  if (path === undefined) {
    throw new DebloatError(`The overlay ${vm.overlay.digest} is not beside the virtual machine.`, {
      hint: `put ${name} into ${folders[0] ?? 'its directory'}, or give it: --overlay FILE`,
    });
  }
  return checked(path, vm);
}

async function checked(path: string, vm: VmDescription): Promise<VmOverlay> {
  const digest = await digestOf(path);
  if (digest === vm.overlay.digest) return { path, digest, isProved: true };
  throw new DebloatError(`${path} is not the overlay of the image that runs in the machine.`, {
    hint: `it has the digest ${digest}, the image wants ${vm.overlay.digest}`,
  });
}

async function digestOf(path: string): Promise<string> {
  try {
    return (await measureFile(path)).digest;
  } catch (error) {
    throw new DebloatError(`The overlay ${path} cannot be read: ${failureReason(error)}.`, {
      hint: overlayHint,
      cause: error,
    });
  }
}

/** The hypervisor's directory, and those of the files on its command line. */
function foldersOf(pid: number, words: readonly string[]): string[] {
  const directory = workingDirectory(pid);
  const folders = new Set([directory]);
  words.forEach((word, at) => {
    const file = /^--?kernel$/.test(words[at - 1] ?? '') ? word : /\bfile=([^,]+)/.exec(word)?.[1];
    if (file !== undefined) folders.add(dirname(resolve(directory, file)));
  });
  return [...folders];
}

/** The description in one of `folders`; of this image, where the machine names one. */
function descriptionIn(
  folders: readonly string[],
  image: string | undefined,
): VmDescription | undefined {
  for (const folder of folders) {
    const path = join(folder, vmFileName);
    if (!existsSync(path)) continue;
    try {
      const vm = vmSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
      if (vm.source.manifestDigest === image) return vm;
    } catch {
      continue; // another program's vm.json
    }
  }
  return undefined;
}
