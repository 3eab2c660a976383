import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { pack } from 'tar-stream';
import { DebloatError } from '../errors.js';
import { SensorMissingError, sensorPath } from '../../native/sensor.js';

/** Where the sensor lives in a container, and the directory that it writes into. */
export const sensorDir = '/.debloat';
export const sensorFile = posix.join(sensorDir, 'sensor');
export const traceDir = posix.join(sensorDir, 'trace');

/** Mode of the trace directory: processes of any user write into it. */
export const traceDirMode = 0o1777;

/** The sensor's program on this machine for an image's `architecture`; throws a DebloatError. */
export function sensorFor(architecture: string): string {
  try {
    return sensorPath(architecture);
  } catch (error) {
    if (!(error instanceof SensorMissingError)) throw error;
    throw new DebloatError(error.message, { hint: error.hint, cause: error });
  }
}

/**
 * The command line that runs `argv` traced; `capabilities` ("sys_ptrace") were given for the sensor
 * alone, and it drops them first.
 */
export function tracedArgv(argv: readonly string[], capabilities: readonly string[]): string[] {
  const drop = capabilities.length > 0 ? ['--drop-caps', capabilities.join(',')] : [];
  return [sensorFile, '--output', traceDir, ...drop, '--', ...argv];
}

/** The command line that prints /proc/net/tcp and tcp6, in an image that may have no tool at all. */
export const listeningArgv = [sensorFile, '--listening'];

/**
 * A tar to be unpacked at `/`: the program `file` and its trace directory. With `capability` the
 * program gets CAP_SYS_PTRACE for whatever user starts it; it cannot be started at all in a
 * container whose bounding set lacks it.
 */
export async function sensorArchive(file: string, capability: boolean): Promise<Buffer> {
  const archive = pack();
  const name = (path: string) => path.slice(1);
  const owner = { uid: 0, gid: 0, mtime: new Date(0) };
  archive.entry({ ...owner, name: name(sensorDir), type: 'directory', mode: 0o755 });
  archive.entry({ ...owner, name: name(traceDir), type: 'directory', mode: traceDirMode });
  archive.entry(
    {
      ...owner,
      name: name(sensorFile),
      mode: 0o755,
      ...(capability && { pax: { 'SCHILY.xattr.security.capability': ptraceCapability() } }),
    },
    await readFile(file),
  );
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** struct vfs_cap_data, revision 2 (linux/capability.h): CAP_SYS_PTRACE permitted, effective at exec. */
function ptraceCapability(): string {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(0x0200_0001, 0);
  bytes.writeUInt32LE(1 << 19, 4);
  return bytes.toString('latin1'); // every byte is below 0x80
}
