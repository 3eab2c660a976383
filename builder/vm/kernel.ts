import { open, type FileHandle } from 'node:fs/promises';
import { DebloatError, messageOf } from '../../analyzer/errors.js';

export type KernelKind = 'bzImage' | 'vmlinux' | 'Image';

/** What a kernel file says of itself. */
export interface KernelFacts {
  kind: KernelKind;
  /** OCI's name of the machine it is for: "amd64", "arm64", or another's that we do not run. */
  architecture: string;
  /** As `uname -r` prints it; undefined where the file does not tell. */
  release?: string;
}

const elfMachines: Record<number, string> = { 3: '386', 62: 'amd64', 183: 'arm64', 243: 'riscv64' };
const chunkSize = 1024 * 1024;

/**
 * Look at a kernel: a bzImage (Linux, Documentation/arch/x86/boot.rst), an ELF vmlinux or an arm64
 * Image (Documentation/arch/arm64/booting.rst). Throws a DebloatError if it is missing or none.
 */
export async function inspectKernel(file: string): Promise<KernelFacts> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    const head = await bytesAt(handle, 0, 0x240);
    const facts =
      (await asBzImage(handle, head)) ??
      (await asElf(handle, head)) ??
      (await asImage(handle, head));
    if (facts) return facts;
    throw notAKernel(file, head);
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`the kernel ${file} cannot be read: ${messageOf(error)}`, {
      hint: 'give the file of a kernel with --vm-kernel, for example /boot/vmlinuz-6.1.0-28-amd64',
      cause: error,
    });
  } finally {
    await handle?.close();
  }
}

async function asBzImage(handle: FileHandle, head: Buffer): Promise<KernelFacts | undefined> {
  if (head.length < 0x240 || head.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined;
  const is64 = head.readUInt16LE(0x206) >= 0x20c && (head.readUInt16LE(0x236) & 1) !== 0;
  const at = head.readUInt16LE(0x20e);
  const version = at === 0 ? '' : textIn(await bytesAt(handle, at + 0x200, 256));
  return facts('bzImage', is64 ? 'amd64' : '386', version.split(' ')[0]);
}

async function asElf(handle: FileHandle, head: Buffer): Promise<KernelFacts | undefined> {
  if (head.length < 64 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const machine = head.readUInt16LE(18);
  return facts('vmlinux', elfMachines[machine] ?? `machine ${machine}`, await banner(handle));
}

async function asImage(handle: FileHandle, head: Buffer): Promise<KernelFacts | undefined> {
  if (head.length < 64 || head.toString('latin1', 0x38, 0x3c) !== 'ARM\x64') return undefined;
  return facts('Image', 'arm64', await banner(handle));
}

function facts(kind: KernelKind, architecture: string, release: string | undefined): KernelFacts {
  return { kind, architecture, ...(release && { release }) };
}

/** The release in "Linux version 6.1.0 (…", which every uncompressed kernel has. */
async function banner(handle: FileHandle): Promise<string | undefined> {
  const overlap = 256;
  for (let position = 0; ; position += chunkSize - overlap) {
    const chunk = await bytesAt(handle, position, chunkSize);
    const found = /Linux version ([\w.+~-]+) \(/.exec(chunk.toString('latin1'));
    if (found) return found[1];
    if (chunk.length < chunkSize) return undefined;
  }
}

function notAKernel(file: string, head: Buffer): DebloatError {
  const isGzip = head.length > 2 && head.readUInt16BE(0) === 0x1f8b;
  return new DebloatError(
    `${file} is no kernel: it is neither a bzImage, an ELF vmlinux nor an arm64 Image`,
    { hint: isGzip ? 'it is compressed: gunzip it first' : 'give a kernel with --vm-kernel' },
  );
}

async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let used = 0;
  while (used < length) {
    const { bytesRead } = await handle.read(buffer, used, length - used, position + used);
    if (bytesRead === 0) break;
    used += bytesRead;
  }
  return buffer.subarray(0, used);
}

function textIn(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}
