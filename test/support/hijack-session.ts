import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../fixtures/hijack/session.js', import.meta.url));

/** What test/fixtures/hijack/session.js is told. */
export interface SessionSettings {
  /** The hypervisor. */
  pid: number;
  image: string;
  /** The session's name. */
  id: string;
  /** The stage for a raw VM. */
  rawStage?: string;
  /** Where the process shall kill itself: before this step, counted from 0, of this phase. */
  phase?: Phase;
  step?: number;
  /** Not before the step but so many milliseconds after it was begun. */
  delay?: number;
}

/** What a session goes through; the first takes out what one before it left. */
export const phases = ['recover', 'attach', 'serve', 'detach'] as const;
export type Phase = (typeof phases)[number];

/** What became of it. */
export interface SessionRun {
  /** The step before which it killed itself; undefined if it came to its end. */
  killedBefore: string | undefined;
}

/**
 * Run a session in a process of its own. `whenClean` is awaited when what an earlier one left is out of
 * the VM, and before anything is put in. Rejects with all that it said when it ends otherwise than by
 * its end or by its own hand.
 */
export async function runSession(
  settings: SessionSettings,
  whenClean: () => void | Promise<void> = () => undefined,
): Promise<SessionRun> {
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exit = once(child, 'exit');
  const lines: string[] = [];
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  try {
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line === 'recovered') {
        await whenClean();
        child.stdin.write('\n');
      }
    }
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const [code, signal] = (await exit) as [number | null, NodeJS.Signals | null];
  if (code === 0) return { killedBefore: undefined };
  if (signal === 'SIGKILL' && settings.phase !== undefined) {
    return { killedBefore: lines.findLast((line) => !line.startsWith('log:')) ?? '' };
  }
  throw new Error(
    `the session ended (${code ?? signal ?? ''}):\n${lines.join('\n')}\n${complaint}`,
  );
}
