import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { DebloatError } from '../../errors.js';

/** The command line that runc and crun share. */
export class OciCli {
  constructor(
    readonly binary: string,
    /** Where it keeps its containers' state. */
    readonly root: string,
  ) {}

  /** Run a short command to its end; rejects with a DebloatError. */
  async run(...args: string[]): Promise<string> {
    const result = await execa(this.binary, ['--root', this.root, ...args], {
      reject: false,
      stdin: 'ignore',
    });
    if (!result.failed) return result.stdout;
    throw new DebloatError(`${this.binary} ${args[0] ?? ''} failed: ${lastLine(result.stderr)}`);
  }

  /**
   * Start a command that lives as long as the container's process. It is in a session of its own, so
   * that Ctrl-C at the terminal reaches us alone; its own complaints go to the file `log`.
   */
  start(args: string[], log: string, stdout: number, stderr: number): ChildProcess {
    const logging = ['--log', log, '--log-format', 'json'];
    return spawn(this.binary, ['--root', this.root, ...logging, ...args], {
      stdio: ['ignore', stdout, stderr],
      detached: true,
    });
  }
}

/** The last error in a log that `OciCli.start` wrote; undefined if there is none. */
export async function lastError(log: string): Promise<string | undefined> {
  const text = await readFile(log, 'utf8').catch(() => '');
  const errors = text.split('\n').flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      return level === 'error' && msg ? [msg] : [];
    } catch {
      return []; // cut off or not JSON
    }
  });
  return errors.at(-1);
}

function lastLine(text: string): string {
  const line = text.trim().split('\n').at(-1) ?? '';
  return /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replace(/\\(.)/g, '$1') ?? line;
}
