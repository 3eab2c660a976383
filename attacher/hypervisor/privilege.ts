import { readFileSync, statSync } from 'node:fs';
import { Refusal } from '../refusal.js';
import { failedWith } from '../../native/linux/system-error.js';
import { statusField } from './procfs.js';

/** Run `access` to a process; say what is missing where the kernel does not allow it. */
export function withPrivilege<T>(pid: number, access: () => T): T {
  try {
    return access();
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ESRCH')) {
      throw new Refusal('not-found', `there is no process ${pid}`, { cause: error });
    }
    if (!failedWith(error, 'EACCES', 'EPERM')) throw error;
    throw new Refusal('privilege', `process ${pid} may not be looked into: ${whyNot(pid)}`, {
      hint: 'run as root, or with the capability CAP_SYS_PTRACE',
      cause: error,
    });
  }
}

/** Which of the kernel's rules stands in the way (ptrace(2), "Ptrace access mode checking"). */
function whyNot(pid: number): string {
  const tracer = statusField(`/proc/${pid}`, 'TracerPid');
  if (tracer !== undefined && tracer !== '0') return `process ${tracer} traces it`;
  const yama = yamaScope();
  if (yama === '3') return 'kernel.yama.ptrace_scope is 3, which nothing but a reboot changes';
  if (hasCapability('CAP_SYS_PTRACE')) return 'a security module or a user namespace forbids it';
  if (ownerOf(pid) !== process.geteuid?.()) {
    return 'it belongs to another user, and CAP_SYS_PTRACE is missing';
  }
  return yama === '1' || yama === '2'
    ? `kernel.yama.ptrace_scope is ${yama}, and CAP_SYS_PTRACE is missing`
    : 'it has more privileges than we have, and CAP_SYS_PTRACE is missing';
}

/** <linux/capability.h>. */
const capabilities = { CAP_SYS_PTRACE: 19n, CAP_SYS_ADMIN: 21n };

/** Whether we have a capability, in our own user namespace. */
export function hasCapability(name: keyof typeof capabilities): boolean {
  const effective = statusField('/proc/self', 'CapEff') ?? '0';
  return ((BigInt(`0x${effective}`) >> capabilities[name]) & 1n) === 1n;
}

function ownerOf(pid: number): number | undefined {
  try {
    return statSync(`/proc/${pid}`).uid;
  } catch {
    return undefined;
  }
}

function yamaScope(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8').trim();
  } catch {
    return undefined;
  }
}
