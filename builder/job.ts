import type { Workspace } from '../analyzer/workspace/workspace.js';

/** Runs one named stage and shows it; `update` tells what it is at. */
export type Stage = <T>(
  title: string,
  run: (update: (text: string) => void) => Promise<T>,
) => Promise<T>;

/** What one run of the tool works with: where to put things, when to stop, how to tell. */
export class Job {
  readonly workspace: Workspace;
  readonly signal: AbortSignal;
  readonly #show: Stage;
  readonly #timings: { stage: string; seconds: number }[] = [];

  constructor(workspace: Workspace, signal: AbortSignal, show: Stage) {
    this.workspace = workspace;
    this.signal = signal;
    this.#show = show;
  }

  /** Run a stage, timed; rejects at once if the job was interrupted. */
  readonly stage: Stage = async (title, run) => {
    this.signal.throwIfAborted();
    const startedAt = performance.now();
    const value = await this.#show(title, run);
    this.#timings.push({ stage: title, seconds: (performance.now() - startedAt) / 1000 });
    return value;
  };

  /** Wall-clock seconds of the stages that are done, in order. */
  timings(): { stage: string; seconds: number }[] {
    return [...this.#timings];
  }
}
