import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DebloatError, messageOf } from '../analyzer/errors.js';
import { makeDirectory } from '../analyzer/workspace/make-directory.js';
import type { Workspace } from '../analyzer/workspace/workspace.js';

/**
 * The directory of a run's results. They are written to a hidden place inside it and moved to their
 * names all at the end, so that a run that fails or is killed leaves no half of a result.
 */
export class OutputDirectory {
  readonly dir: string;
  readonly #staging: string;
  readonly #resources: number[];
  readonly #workspace: Workspace;

  private constructor(dir: string, staging: string, workspace: Workspace, resources: number[]) {
    this.dir = dir;
    this.#staging = staging;
    this.#workspace = workspace;
    this.#resources = resources;
  }

  /** Make `dir` if it is not there; rejects with a DebloatError if it cannot be written. */
  static async open(
    dir: string,
    workspace: Workspace,
    option = '--output-dir',
  ): Promise<OutputDirectory> {
    const absolute = resolve(dir);
    try {
      const made = await makeDirectory(absolute);
      const resources =
        made === undefined ? [] : [workspace.register({ kind: 'path', path: made })];
      const staging = await mkdtemp(join(absolute, '.debloat-'));
      resources.push(workspace.register({ kind: 'path', path: staging }));
      return new OutputDirectory(absolute, staging, workspace, resources);
    } catch (error) {
      throw new DebloatError(
        `cannot write to the output directory ${absolute}: ${messageOf(error)}`,
        {
          hint: `name a directory that you can write to with ${option}`,
          cause: error,
        },
      );
    }
  }

  /** Where to write the result `name` until {@link finish}. */
  stage(name: string): string {
    return join(this.#staging, name);
  }

  /** Where the result `name` is after {@link finish}. */
  path(name: string): string {
    return join(this.dir, name);
  }

  /** Move the results to their names, replacing those of an earlier run. */
  async finish(names: string[]): Promise<void> {
    for (const name of names) {
      await rm(this.path(name), { recursive: true, force: true });
      await rename(this.stage(name), this.path(name));
    }
    await rm(this.#staging, { recursive: true, force: true });
    for (const resource of this.#resources) this.#workspace.forget(resource);
  }
}
