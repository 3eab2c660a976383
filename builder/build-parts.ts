import type { Digest, Image } from '../analyzer/image/types.js';
import type { KeepResult } from '../analyzer/keep/compute.js';
import { bytes } from '../analyzer/report/format.js';
import { buildImage } from './image/build.js';
import type { Job } from './job.js';
import { buildOverlay } from './overlay/build.js';
import { provenanceOf } from './provenance.js';
import type { Compression, DebloatedImage, Overlay, OverlayFormat } from './types.js';

export interface PartsOptions {
  overlay: OverlayFormat;
  /** Where the overlay goes. */
  overlayFile: string;
  squash: boolean;
  compression: Compression;
}

export interface Parts {
  built: DebloatedImage;
  overlay: Overlay;
}

/**
 * Write the debloated image and its overlay side by side. Each names the other: the overlay holds
 * the digests of the image's layers, and the image's annotations the digest of the overlay, so the
 * overlay waits for the layers and the image's config for the overlay.
 */
export async function buildParts(
  image: Image,
  { keepSet, rewrites }: Pick<KeepResult, 'keepSet' | 'rewrites'>,
  options: PartsOptions,
  { workspace, signal }: Pick<Job, 'workspace' | 'signal'>,
  update: (text: string) => void,
): Promise<Parts> {
  const failure = new AbortController(); // either one failing stops the other
  const both = AbortSignal.any([signal, failure.signal]);
  const { promise: diffIds, resolve: onLayers, reject: noLayers } = deferred<Digest[]>();
  const written = { kept: 0, removed: 0 };
  const tell = () =>
    update(`${bytes(written.kept)} kept, ${bytes(written.removed)} into the overlay`);
  const shared = { image, keepSet, rewrites, workspace, signal: both };

  const overlay = buildOverlay({
    ...shared,
    format: options.overlay,
    file: options.overlayFile,
    diffIds,
    onProgress: (count) => {
      written.removed = count;
      tell();
    },
  });
  const built = buildImage({
    ...shared,
    squash: options.squash,
    compression: options.compression,
    annotations: overlay.then((finished) => provenanceOf(image, finished)),
    onLayers,
    onProgress: (count) => {
      written.kept = count;
      tell();
    },
  });
  const stop = (error: unknown) => {
    noLayers(error);
    failure.abort(error);
  };
  overlay.catch(stop);
  built.catch(stop);
  const outcomes = await Promise.allSettled([built, overlay]);
  failure.signal.throwIfAborted(); // with the first failure, not what it brought about
  const [builtOutcome, overlayOutcome] = outcomes;
  if (builtOutcome.status === 'rejected') throw builtOutcome.reason;
  if (overlayOutcome.status === 'rejected') throw overlayOutcome.reason;
  return { built: builtOutcome.value, overlay: overlayOutcome.value };
}

function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined); // whoever waits for it is told
  return { promise, resolve, reject };
}
