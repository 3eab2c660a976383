import { resolve } from 'node:path';
import { hasOwnFiles } from '../hot-plug/lent-socket.js';
import { kindOf } from '../hypervisor/kinds.js';
import { commandLine, programName, workingDirectory } from '../hypervisor/procfs.js';
import { Refusal } from '../refusal.js';

/** Whether process `pid` is a Cloud Hypervisor, by its program. */
export function isCloudHypervisor(pid: number): boolean {
  return kindOf(programName(pid)).name === 'Cloud Hypervisor';
}

/** The path of the socket at which the Cloud Hypervisor `pid` serves its API. Refused where it has none that we know of. */
export function apiSocketOf(pid: number): string {
  const path = apiSocketIn(commandLine(pid), workingDirectory(pid));
  if (path !== undefined) return hasOwnFiles(pid) ? `/proc/${pid}/root${path}` : path;
  throw new Refusal('not-found', `process ${pid} was started without --api-socket PATH`);
}

/** The socket in the words of a command line (`--api-socket PATH` or `path=PATH`); paths are relative to `directory`. */
export function apiSocketIn(words: readonly string[], directory: string): string | undefined {
  const at = words.findIndex((word) => /^--api-socket(=|$)/.test(word));
  const word = words[at];
  if (word === undefined) return undefined;
  const value = word.includes('=') ? word.slice(word.indexOf('=') + 1) : (words[at + 1] ?? '');
  const keys = value.split(',');
  if (keys.some((key) => key.startsWith('fd='))) return undefined; // somebody else's
  const path = keys.find((key) => key.startsWith('path='))?.slice('path='.length) ?? value;
  return path === '' ? undefined : resolve(directory, path);
}
