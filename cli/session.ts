import { DebloatError, ExitCode } from '../analyzer/errors.js';
import type { Platform } from '../analyzer/image/types.js';
import { findStaleWorkspaces, sweepWorkspace, Workspace } from '../analyzer/workspace/workspace.js';
import type { Access } from '../builder/debloat-image.js';
import { Job } from '../builder/job.js';
import { abortOnSignals } from './interrupt.js';
import type { CommonOptions, SourceOptions } from './options.js';
import { createProgress, wantsLiveProgress } from './progress.js';

/** Run `work` with a workspace, progress and clean-up, whatever way it ends. */
export async function withJob<T>(
  options: CommonOptions,
  work: (job: Job) => Promise<T>,
): Promise<T> {
  const signal = abortOnSignals();
  await sweepLeftovers();
  const workspace = await Workspace.create();
  const progress = createProgress({ live: wantsLiveProgress(), quiet: options.quiet ?? false });
  try {
    return await work(new Job(workspace, signal, progress));
  } catch (error) {
    // What an interrupted stage stumbled over is not what the user needs to hear.
    throw signal.aborted ? signal.reason : error;
  } finally {
    await workspace.dispose();
  }
}

/** Access to registries, from the command line's options. */
export function accessFrom({ platform, insecure, authfile }: SourceOptions): Access {
  return {
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    ...(insecure && { insecure }),
    ...(authfile !== undefined && { authFile: authfile }),
  };
}

function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  if (!os || !architecture || rest.length > 0) {
    throw new DebloatError(`"${text}" is not a platform`, {
      hint: 'write for example linux/amd64 or linux/arm64/v8',
      exitCode: ExitCode.usage,
    });
  }
  return { os, architecture, ...(variant && { variant }) };
}

// A run that was killed together with its reaper is cleaned up by the next one.
async function sweepLeftovers(): Promise<void> {
  for (const dir of await findStaleWorkspaces()) {
    await sweepWorkspace(dir).catch(() => undefined); // `debloat doctor` tells of what remains
  }
}
