import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { execa, type Options } from 'execa';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DebloatError } from '../analyzer/errors.js';
import { startTimeOf } from '../analyzer/workspace/processes.js';
import type { Workspace } from '../analyzer/workspace/workspace.js';

/** The Debian packages that the system tools come from. */
const packages: Record<string, string> = {
  mksquashfs: 'squashfs-tools',
  unsquashfs: 'squashfs-tools',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  'mkfs.erofs': 'erofs-utils',
  'fsck.erofs': 'erofs-utils',
  tar: 'tar',
  fakeroot: 'fakeroot',
  skopeo: 'skopeo',
  zstd: 'zstd',
};

export interface RunToolOptions {
  workspace: Workspace;
  /** Fed to the tool's standard input. */
  input?: AsyncIterable<Buffer> | Iterable<Buffer> | undefined;
  env?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** What the tool makes, for errors: "the overlay /out/x.squashfs". */
  makes: string;
}

/**
 * Run a system tool to its end; it is killed if we end first. Returns what it printed.
 * Throws a DebloatError that says whether the tool is missing, was killed, or what it complained of.
 */
export async function runTool(
  tool: string,
  args: string[],
  { workspace, input, env, signal, makes }: RunToolOptions,
): Promise<string> {
  const options = {
    reject: false,
    // locale and time zone must not show in the result
    env: { PATH: toolPath(), LC_ALL: 'C', TZ: 'UTC', TMPDIR: workspace.dir, ...env },
    extendEnv: false,
    ...(input ? {} : { stdin: 'ignore' as const }),
    ...(signal ? { cancelSignal: signal } : {}),
    maxBuffer: 1024 * 1024,
  } satisfies Options;
  const child = execa(tool, args, options);
  const resource =
    child.pid === undefined
      ? undefined
      : workspace.register({
          kind: 'process',
          pid: child.pid,
          startTime: startTimeOf(child.pid) ?? '',
        });
  let inputError: unknown;
  const failed = (error: unknown): void => {
    inputError = error;
    child.kill(); // else it would take the truncated input for all of it
  };
  const feeding = input && child.stdin ? feed(input, child.stdin, failed) : undefined;
  const result = await child;
  if (resource !== undefined) workspace.forget(resource);
  await feeding;
  signal?.throwIfAborted();
  if (inputError !== undefined) throw inputError as Error;
  if (!result.failed) return `${result.stdout}\n${result.stderr}`;
  throw toolError(tool, makes, {
    code: (result as { code?: string }).code,
    signal: result.signal,
    exitCode: result.exitCode,
    output: `${result.stdout}\n${result.stderr}`,
    cause: result,
  });
}

/** Whether `tool` is on the path. */
export async function hasTool(tool: string): Promise<boolean> {
  for (const dir of toolPath().split(':')) {
    const found = await access(join(dir, tool), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/** Pipe `input` in. That the tool stops reading is its own business: its exit code tells why. */
async function feed(
  input: AsyncIterable<Buffer> | Iterable<Buffer>,
  stdin: Writable,
  onInputError: (error: unknown) => void,
): Promise<void> {
  let isBroken = false;
  stdin.on('error', () => (isBroken = true));
  async function* observed(): AsyncGenerator<Buffer> {
    try {
      yield* input;
    } catch (error) {
      // a broken pipe is thrown in here, too
      if (!isBroken && !stdin.destroyed) onInputError(error);
      throw error;
    }
  }
  const chunks = Readable.from(observed(), { objectMode: false, highWaterMark: 1024 * 1024 });
  await pipeline(chunks, stdin).catch(() => undefined);
}

function toolError(
  tool: string,
  makes: string,
  end: {
    code: string | undefined;
    signal: string | undefined;
    exitCode: number | undefined;
    output: string;
    cause: unknown;
  },
): DebloatError {
  if (end.code === 'ENOENT') {
    return new DebloatError(`${tool} is needed for ${makes} but is not installed`, {
      hint: `install it: apt-get install ${packages[tool] ?? tool}`,
      cause: end.cause,
    });
  }
  if (/no space left on device|ENOSPC|could not allocate block/i.test(end.output)) {
    return new DebloatError(`the disk is full: ${makes} could not be written`, {
      hint: 'make room, or set DEBLOAT_TMPDIR and --output-dir to a larger disk',
      cause: end.cause,
    });
  }
  if (end.signal !== undefined) {
    return new DebloatError(`${tool} was killed by ${end.signal} before ${makes} was complete`, {
      hint: 'if nobody did so by hand, look for the out-of-memory killer in the kernel log',
      cause: end.cause,
    });
  }
  const said = end.output.trim().split('\n').at(-1) ?? '';
  return new DebloatError(
    `${tool} failed on ${makes} (exit code ${String(end.exitCode)})${said && `: ${said}`}`,
    { cause: end.cause },
  );
}

// mke2fs and debugfs are in sbin, which is not on every user's path.
function toolPath(): string {
  return `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;
}
