import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DebloatError, messageOf } from '../errors.js';
import { makeDirectory } from './make-directory.js';
import { startTimeOf } from './processes.js';
import { release, type Resource } from './resources.js';

const prefix = 'debloat-';

/**
 * A private directory for one run of the tool, and the journal of everything outside of it that the
 * run has made: containers, mounts, half-written files. Whatever way the run ends, all of it goes:
 * `dispose` on success, failure and Ctrl-C; a reaper process if we are killed; the next run (or
 * `debloat doctor --fix`) if the reaper was killed too.
 */
export class Workspace {
  readonly dir: string;
  readonly #resources = new Map<number, Resource>();
  #nextId = 0;
  #reaper: ChildProcess | undefined;
  #disposed = false;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Make a workspace below `DEBLOAT_TMPDIR`, else the system's temporary directory. */
  static async create(parent = defaultParent()): Promise<Workspace> {
    try {
      await makeDirectory(resolve(parent));
      const dir = await mkdtemp(join(parent, prefix));
      await writeFile(join(dir, 'owner'), `${process.pid} ${startTimeOf(process.pid) ?? ''}\n`);
      await writeFile(join(dir, 'journal'), '');
      const workspace = new Workspace(dir);
      workspace.#startReaper();
      return workspace;
    } catch (error) {
      throw new DebloatError(
        `cannot make a temporary directory below ${parent}: ${messageOf(error)}`,
        {
          hint: 'set DEBLOAT_TMPDIR to a directory that is writable and has room for the uncompressed image',
          cause: error,
        },
      );
    }
  }

  /** A path inside the workspace. */
  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** A new directory inside the workspace. */
  async directory(name: string): Promise<string> {
    return mkdtemp(join(this.dir, `${name}-`));
  }

  /**
   * Note `resource` down before it is made, so that it is undone however this run ends.
   * Returns a handle for {@link release} and {@link forget}.
   */
  register(resource: Resource): number {
    const id = this.#nextId++;
    this.#resources.set(id, resource);
    this.#note({ add: id, resource });
    return id;
  }

  /** Undo a registered resource now. */
  async release(id: number): Promise<void> {
    const resource = this.#resources.get(id);
    if (!resource) return;
    await release(resource);
    this.forget(id);
  }

  /** The resource is to stay (a finished output), or is gone already. */
  forget(id: number): void {
    if (this.#resources.delete(id)) this.#note({ remove: id });
  }

  /** Undo all that is left, newest first, and remove the directory. Safe to call twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await releaseAll([...this.#resources.values()].reverse());
    await rm(this.dir, { recursive: true, force: true });
    this.#reaper?.stdin?.end();
    this.#reaper?.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #note(line: object): void {
    appendFileSync(join(this.dir, 'journal'), `${JSON.stringify(line)}\n`);
  }

  // The reaper waits for its stdin to close, which the kernel does for us even on kill -9.
  #startReaper(): void {
    const script = fileURLToPath(new URL('./reaper.js', import.meta.url));
    if (!existsSync(script)) return; // running from source (unit tests): the next run sweeps
    const reaper = spawn(process.execPath, [script, this.dir], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    reaper.on('error', () => undefined);
    reaper.unref();
    (reaper.stdin as unknown as { unref?: () => void }).unref?.();
    this.#reaper = reaper;
  }
}

/** Undo everything that the workspace in `dir` still has in its journal, then remove it. */
export async function sweepWorkspace(dir: string, patience = 0): Promise<void> {
  const left = new Map<number, Resource>();
  for (const line of readLines(join(dir, 'journal'))) {
    const note = JSON.parse(line) as { add?: number; remove?: number; resource?: Resource };
    if (note.add !== undefined && note.resource) left.set(note.add, note.resource);
    if (note.remove !== undefined) left.delete(note.remove);
  }
  await releaseAll([...left.values()].reverse(), patience);
  await rm(dir, { recursive: true, force: true });
}

/** Workspaces below `parent` whose owner is gone: what killed runs left behind. */
export async function findStaleWorkspaces(parent = defaultParent()): Promise<string[]> {
  const names = await readdir(parent).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix) && existsSync(join(parent, name, 'owner')))
    .map((name) => join(parent, name))
    .filter((dir) => {
      const [pid, startTime] = readFileSync(join(dir, 'owner'), 'utf8').trim().split(' ');
      return pid !== undefined && pid !== '' && startTimeOf(Number(pid)) !== startTime;
    });
}

function defaultParent(): string {
  return process.env['DEBLOAT_TMPDIR'] ?? tmpdir();
}

function readLines(file: string): string[] {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean);
}

async function releaseAll(resources: Resource[], patience = 0): Promise<void> {
  const failures: string[] = [];
  for (const resource of resources) {
    try {
      await release(resource, patience);
    } catch (error) {
      failures.push(`${resource.kind}: ${messageOf(error)}`);
    }
  }
  if (failures.length > 0) {
    throw new DebloatError(`could not clean up: ${failures.join('; ')}`, {
      hint: 'run `debloat doctor --fix` once the cause is gone',
    });
  }
}
