import { constants } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { digestOf } from '../../analyzer/image/digest.js';
import type { Image } from '../../analyzer/image/types.js';
import type { KeepResult } from '../../analyzer/keep/compute.js';
import type { RunOptions } from '../../analyzer/runtime/types.js';
import { exposedPorts } from '../../analyzer/runtime/workload.js';
import { guestInitPath } from '../../native/guest-init.js';
import type { Parts } from '../build-parts.js';
import type { Job } from '../job.js';
import { contentSize } from '../layers/filter-plan.js';
import { select } from '../layers/selection.js';
import type { OutputDirectory } from '../output-directory.js';
import { portableReference } from '../provenance.js';
import { explainWriteError, measureFile } from '../stream/blob.js';
import type { OverlayFormat } from '../types.js';
import { firecrackerConfig, kernelCommandLine } from './command-lines.js';
import { vmFileName, vmVersion, type GuestImage, type VmDescription } from './description.js';
import { encodeInitSettings, initSettings, type InitSettings } from './init-settings.js';
import { initramfs } from './initramfs.js';
import { inspectKernel, type KernelFacts } from './kernel.js';
import { findModules, type FoundModules } from './modules.js';
import { writeRootDisk } from './root-disk.js';
import { keptNodes } from './root-tar.js';

export interface VmRequest {
  root: OverlayFormat;
  /** A bzImage, vmlinux or arm64 Image; without one, the disk and how to boot it are written. */
  kernel?: string | undefined;
  /** The kernel's modules, where it does not have all that it needs built in. */
  modules?: string | undefined;
  /** Bytes that an ext4 root has free. */
  freeSpace: number;
}

/** All that a microVM is made of besides the debloated image, found and checked. */
export interface VmPlan {
  request: VmRequest;
  init: Buffer;
  settings: InitSettings;
  kernel: KernelFacts | undefined;
  modules: FoundModules | undefined;
}

export interface BuiltVm {
  vm: VmDescription;
  /** Names of its files in the output directory. */
  files: string[];
}

/** Names of the results in the microVM's directory. */
const names = { kernel: 'kernel', initramfs: 'initramfs', firecracker: 'firecracker.json' };

/**
 * Check, before any work is done, that a microVM of `image` can be made. Throws a DebloatError if the
 * image names no program, or the kernel or its modules will not do.
 */
export async function planVm(
  image: Image,
  request: VmRequest,
  run: RunOptions,
  { workspace, signal }: Pick<Job, 'workspace' | 'signal'>,
): Promise<VmPlan> {
  const { architecture } = image.platform;
  const initFile = guestInitPath(architecture);
  if (initFile === undefined) {
    throw new DebloatError(`there is no microVM init for ${architecture}`, {
      hint: 'build microVMs of amd64 and arm64 images on a machine of the same kind',
    });
  }
  const settings = await initSettings(image, run);
  encodeInitSettings(settings);
  const kernel = request.kernel === undefined ? undefined : await inspectKernel(request.kernel);
  if (kernel && kernel.architecture !== architecture) {
    throw new DebloatError(
      `the kernel ${request.kernel} is for ${kernel.architecture}, the image for ${architecture}`,
      { hint: `give a kernel for ${architecture} with --vm-kernel` },
    );
  }
  const modules =
    request.modules === undefined
      ? undefined
      : await findModules({
          dir: request.modules,
          release: kernel?.release,
          root: request.root,
          workspace,
          signal,
        });
  return { request, init: await readFile(initFile), settings, kernel, modules };
}

/** Write the microVM into `output`; it is there after {@link OutputDirectory.finish} of `files`. */
export async function buildVm(
  image: Image,
  { keepSet, rewrites }: Pick<KeepResult, 'keepSet' | 'rewrites'>,
  parts: Parts,
  plan: VmPlan,
  output: OutputDirectory,
  { workspace, signal }: Pick<Job, 'workspace' | 'signal'>,
): Promise<BuiltVm> {
  const { request, init, settings } = plan;
  const selection = select(image, keepSet, rewrites);
  const guest = guestImage(image, parts);
  const rootName = `root.${request.root}`;
  const root = {
    file: rootName,
    ...(await writeRootDisk({
      image,
      selection,
      own: [
        { name: 'init', mode: 0o700, content: init },
        { name: 'init.conf', mode: 0o600, content: encodeInitSettings(settings) },
        { name: 'image.json', mode: 0o600, content: json(guest) },
      ],
      format: request.root,
      freeSpace: request.freeSpace,
      file: output.stage(rootName),
      makes: `the root disk ${output.path(rootName)}`,
      workspace,
      signal,
    })),
    format: request.root,
    readOnly: request.root !== 'ext4',
  };
  const kernel = await placeKernel(plan, output);
  const startup = await placeInitramfs(plan, output);
  const platform = `${image.platform.os}/${image.platform.architecture}`;
  const content = new Map(
    [...keptNodes(image, selection)].map((node) => [node.inode, contentSize(selection, node)]),
  );
  const vm: VmDescription = {
    ...guest,
    platform,
    root,
    kernel,
    initramfs: startup,
    commandLine: kernelCommandLine({
      platform,
      root,
      initramfs: startup,
      sourceDigest: image.manifest.digest,
    }),
    memoryMebibytes: memoryFor([...content.values()].reduce((sum, size) => sum + size, 0)),
    ports: exposedPorts(image.config.value.config ?? {}),
  };
  const written = [rootName, vmFileName, names.firecracker];
  await place(output, vmFileName, json(vm));
  await place(output, names.firecracker, Buffer.from(firecrackerConfig(vm)));
  if (kernel) written.push(kernel.file);
  if (startup) written.push(startup.file);
  return { vm, files: written };
}

function guestImage(image: Image, { built, overlay }: Parts): GuestImage {
  return {
    schemaVersion: vmVersion,
    source: {
      reference: portableReference(image.reference),
      manifestDigest: image.manifest.digest,
      configDigest: image.config.digest,
    },
    debloated: { manifestDigest: built.manifest.digest, configDigest: built.config.digest },
    overlay: { digest: overlay.digest, format: overlay.format, size: overlay.size },
  };
}

async function placeKernel(
  plan: VmPlan,
  output: OutputDirectory,
): Promise<VmDescription['kernel']> {
  const { kernel, request } = plan;
  if (!kernel || request.kernel === undefined) return null;
  const file = output.stage(names.kernel);
  try {
    await copyFile(request.kernel, file, constants.COPYFILE_FICLONE);
  } catch (error) {
    throw explainWriteError(error, output.path(names.kernel));
  }
  const { kind, release = null } = kernel;
  return { file: names.kernel, ...(await measureFile(file)), kind, release };
}

async function placeInitramfs(
  { init, modules }: VmPlan,
  output: OutputDirectory,
): Promise<VmDescription['initramfs']> {
  if (!modules) return null;
  const bytes = initramfs(init, modules.modules);
  await place(output, names.initramfs, bytes);
  return {
    file: names.initramfs,
    digest: digestOf(bytes),
    size: bytes.length,
    modules: modules.modules.map(({ name }) => name),
  };
}

async function place(output: OutputDirectory, name: string, bytes: Buffer): Promise<void> {
  await writeFile(output.stage(name), bytes).catch((error: unknown) => {
    throw explainWriteError(error, output.path(name));
  });
}

/** Room for the kernel, and for half of the files to be in memory; in steps of 64 MiB. */
function memoryFor(contentBytes: number): number {
  const step = 64;
  return Math.ceil((160 + contentBytes / 2 ** 21) / step) * step;
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}
