import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { DebloatError, messageOf } from '../analyzer/errors.js';

/** One attach, for those who ask later. */
export interface AuditRecord {
  /** As the user named it. */
  target: string;
  overlay: string;
  command: readonly string[];
}

/**
 * Write one line about an attach: to `file`, else to syslog by logger(1). Throws a DebloatError if
 * `file` cannot be written; a machine without syslog is only told of, by `tell`.
 */
export async function audit(
  record: AuditRecord,
  file: string | undefined,
  tell: (line: string) => void,
): Promise<void> {
  const line = `attach ${JSON.stringify({ who: who(), ...record })}`;
  if (file === undefined) return toSyslog(line, tell);
  try {
    await appendFile(file, `${new Date().toISOString()} debloat[${process.pid}]: ${line}\n`, {
      mode: 0o600,
    });
  } catch (error) {
    throw new DebloatError(`The audit log ${file} cannot be written: ${messageOf(error)}.`, {
      hint: 'DEBLOAT_AUDIT_LOG names it; without it the line goes to syslog',
      cause: error,
    });
  }
}

async function toSyslog(line: string, tell: (line: string) => void): Promise<void> {
  try {
    const logger = spawn('logger', ['-t', 'debloat', '-p', 'auth.notice', '--id', '--', line], {
      stdio: 'ignore',
    });
    const [code] = (await once(logger, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`logger ended with ${code ?? 'a signal'}`);
  } catch (error) {
    tell(`not in the log of the system: ${messageOf(error)} (DEBLOAT_AUDIT_LOG names a file)`);
  }
}

/** The user, and whom they became: "alice as root". */
function who(): string {
  const effective = userName();
  const before = process.env['SUDO_USER'];
  return before !== undefined && before !== effective ? `${before} as ${effective}` : effective;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.geteuid?.() ?? '?'}`; // not in the user database
  }
}
