import { closeSync, fstatSync, openSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { Digest } from '../../analyzer/image/types.js';
import { parseReference } from '../../analyzer/transport/reference.js';
import type { Access } from '../../builder/debloat-image.js';
import type { Job } from '../../builder/job.js';
import { provenanceKeys } from '../../builder/provenance.js';
import { pullOverlay } from '../../builder/publish/pull-overlay.js';
import { measureFile } from '../../builder/stream/blob.js';
import { overlayFormats } from '../../builder/types.js';
import { overlayHint } from '../overlay-file-system.js';
import { failureReason } from '../../native/linux/system-error.js';
import type { ContainerImage } from './running.js';

/** An overlay that was checked, held open: what is mounted is what was checked, whatever happens to its name. */
export interface OverlayFile {
  /** As the user knows it. */
  readonly name: string;
  /** Where it can be opened as long as we hold it. */
  readonly path: string;
  readonly digest: Digest;
  /** Whether the image told this digest. */
  readonly isProved: boolean;
  close(): void;
}

/** How to fetch an overlay from a registry. */
export interface Fetching {
  readonly access: Access;
  /** Runs `work` with a place for what is fetched, which is gone afterwards. */
  readonly within: <T>(work: (job: Job) => Promise<T>) => Promise<T>;
}

/**
 * The overlay of `image`: `given`, else the one that its labels name, from the files that
 * `debloat build` leaves below the current directory, else from the image's registry. Throws a
 * DebloatError where there is none, or the digest is not what the image says.
 */
export async function findOverlay(
  image: ContainerImage | undefined,
  given: string | undefined,
  fetching: Fetching,
): Promise<OverlayFile> {
  const wanted = image?.labels[provenanceKeys.overlayDigest];
  if (given !== undefined) return checked(given, wanted);
  if (image === undefined || wanted === undefined) {
    const why = image
      ? 'The container’s image is no debloated one: it names no overlay.'
      : 'Of a process alone nobody knows the image.';
    throw new DebloatError(why, { hint: 'give the overlay: --overlay FILE' });
  }
  const size = Number(image.labels[provenanceKeys.overlaySize]);
  for (const path of localOverlays()) {
    const file = hold(path);
    if (fstatSync(file.descriptor).size === size) {
      const { digest } = await measureFile(file.path);
      if (digest === wanted) return held(file, path, digest, true);
    }
    closeSync(file.descriptor);
  }
  return fetched(image, wanted, fetching);
}

/** What `debloat build` leaves, with or without --output-dir. */
function localOverlays(): string[] {
  const folders = ['.', ...foldersIn('.'), ...foldersIn('debloat-out')];
  return folders
    .flatMap((folder) => overlayFormats.map((format) => join(folder, `overlay.${format}`)))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name));
  } catch {
    return []; // it is only one of the places
  }
}

async function fetched(image: ContainerImage, wanted: string, { access, within }: Fetching) {
  const hint = 'give its file, which `debloat build` wrote: --overlay FILE';
  if (image.digests.length === 0) {
    throw new DebloatError(
      `The overlay ${wanted} is not here, and the image came from no registry.`,
      { hint },
    );
  }
  return within(async ({ workspace, signal, stage }) => {
    const reasons: string[] = [];
    for (const name of image.digests) {
      const reference = parseReference(`registry://${name}`);
      const digest = name.slice(name.indexOf('@') + 1) as Digest;
      const owner = {
        reference: name,
        manifest: { digest },
        config: { value: { config: { Labels: image.labels } } },
      };
      try {
        const overlay = await stage(`Fetch the overlay of ${name}`, () =>
          pullOverlay(owner, reference, { ...access, workspace, signal }),
        );
        return held(hold(overlay.file), `the overlay of ${name}`, overlay.digest, true);
      } catch (error) {
        signal.throwIfAborted();
        reasons.push(messageOf(error));
      }
    }
    throw new DebloatError(`The overlay ${wanted} is nowhere: ${reasons.join('; ')}.`, { hint });
  });
}

async function checked(name: string, wanted: string | undefined): Promise<OverlayFile> {
  const file = hold(name);
  try {
    const { digest } = await measureFile(file.path);
    if (wanted !== undefined && digest !== wanted) {
      throw new DebloatError(`${name} is not the overlay of the container’s image.`, {
        hint: `it has the digest ${digest}, the image wants ${wanted}`,
      });
    }
    return held(file, name, digest, wanted !== undefined);
  } catch (error) {
    closeSync(file.descriptor);
    throw error;
  }
}

interface Held {
  descriptor: number;
  path: string;
}

function hold(name: string): Held {
  try {
    if (!statSync(name).isFile()) {
      throw new DebloatError(`The overlay ${name} is not a file.`, { hint: overlayHint });
    }
    const descriptor = openSync(name, 'r');
    return { descriptor, path: `/proc/${process.pid}/fd/${descriptor}` };
  } catch (error) {
    if (error instanceof DebloatError) throw error;
    throw new DebloatError(`The overlay ${name} cannot be opened: ${failureReason(error)}.`, {
      hint: overlayHint,
      cause: error,
    });
  }
}

function held(file: Held, name: string, digest: Digest, isProved: boolean): OverlayFile {
  const { descriptor, path } = file;
  return { ...{ name, path, digest, isProved }, close: () => closeSync(descriptor) };
}
