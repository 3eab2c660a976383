import { readFile, statfs } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import type { Check } from './check.js';

const gigabyte = 1e9;

/** Kernel, privileges and room of this machine. */
export async function checkMachine(): Promise<Check[]> {
  return [checkNode(), await checkNotifier(), checkRoot(), await checkRoom()];
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const enough = major > 20 || (major === 20 && minor >= 19);
  return {
    name: 'node',
    status: enough ? 'ok' : 'failed',
    detail: process.versions.node,
    ...(!enough && { fix: 'install Node.js 20.19 or newer' }),
  };
}

// seccomp(2): SECCOMP_RET_USER_NOTIF, and its CONTINUE answer since Linux 5.5.
async function checkNotifier(): Promise<Check> {
  const name = 'seccomp user notification';
  const actions = await readFile('/proc/sys/kernel/seccomp/actions_avail', 'utf8').catch(() => '');
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (!actions.includes('user_notif') || major < 5 || (major === 5 && minor < 5)) {
    return {
      name,
      status: 'failed',
      detail: `Linux ${release()} does not offer it; tracing on this machine needs it`,
      fix: 'trace on Linux 5.5 or newer, or build from a trace made elsewhere with --trace',
    };
  }
  return { name, status: 'ok', detail: `Linux ${release()}` };
}

function checkRoot(): Check {
  if (process.getuid?.() === 0) return { name: 'root', status: 'ok', detail: 'yes' };
  return {
    name: 'root',
    status: 'limited',
    detail: 'no: the workload can run on an engine only, not on runc or crun',
    fix: 'use an engine, or run as root',
  };
}

async function checkRoom(): Promise<Check> {
  const dir = process.env['DEBLOAT_TMPDIR'] ?? tmpdir();
  try {
    const { bavail, bsize } = await statfs(dir);
    const free = bavail * bsize;
    const detail = `${(free / gigabyte).toFixed(1)} GB free in ${dir}`;
    if (free >= 5 * gigabyte) return { name: 'temporary space', status: 'ok', detail };
    return {
      name: 'temporary space',
      status: 'limited',
      detail,
      fix: 'a build needs about three times the uncompressed image; set DEBLOAT_TMPDIR to a larger place',
    };
  } catch {
    return {
      name: 'temporary space',
      status: 'failed',
      detail: `${dir} cannot be read`,
      fix: 'set DEBLOAT_TMPDIR to a writable directory',
    };
  }
}
