import { z } from 'zod';
import { DebloatError } from '../errors.js';
import { digestOf, isDigest } from './digest.js';
import type { Descriptor, Digest, Document, ImageConfig, ImageManifest } from './types.js';

/** Media types (OCI image spec media-types.md, Docker image manifest v2 schema 2). */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const;

/** An index of manifests for several platforms. */
export interface ImageIndex {
  manifests: Descriptor[];
  mediaType?: string | undefined;
}

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  error: 'is not a sha256 digest',
});

const platform = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
});

const descriptor = z.looseObject({
  mediaType: z.string(),
  digest,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: platform.optional(),
  artifactType: z.string().optional(),
});

const manifest = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor),
  annotations: z.record(z.string(), z.string()).nullish(),
});

const index = z.looseObject({
  mediaType: z.string().optional(),
  manifests: z.array(descriptor),
});

const strings = z.array(z.string()).nullish();
const set = z.record(z.string(), z.looseObject({})).nullish();

const config = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  rootfs: z.looseObject({ type: z.literal('layers'), diff_ids: z.array(digest) }),
  history: z.array(z.looseObject({ empty_layer: z.boolean().optional() })).nullish(),
  config: z
    .looseObject({
      User: z.string().nullish(),
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: z.string().nullish(),
      StopSignal: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      ExposedPorts: set,
      Volumes: set,
    })
    .nullish(),
});

/**
 * Read an image manifest. `source` is how errors call the image.
 * @throws DebloatError for anything that is no runnable image: an artifact, schema 1, a foreign or
 * encrypted layer.
 */
export function parseManifest(
  bytes: Buffer,
  source: string,
  mediaType?: string,
): Document<ImageManifest> {
  const json = parseJson(bytes, `the manifest of ${source}`);
  if (isSchema1(json)) {
    throw new DebloatError(`${source} has a manifest of the obsolete schema 1`, {
      hint: 'push the image again with a current tool (or convert it: skopeo copy --format v2s2 …)',
    });
  }
  const value = check(manifest, json, `the manifest of ${source}`) as unknown as ImageManifest;
  refuseArtifact(value, source);
  value.layers.forEach((layer, position) => refuseUnreadable(layer, position, source));
  return {
    bytes,
    digest: digestOf(bytes),
    mediaType: value.mediaType ?? mediaType ?? mediaTypes.ociManifest,
    value,
  };
}

/** Read an index, or undefined if `bytes` are something else (a manifest). */
export function parseIndex(bytes: Buffer, source: string): ImageIndex | undefined {
  const json = parseJson(bytes, `the manifest of ${source}`);
  if (typeof json !== 'object' || json === null || !('manifests' in json)) return undefined;
  return check(index, json, `the index of ${source}`) as unknown as ImageIndex;
}

/**
 * Read an image config.
 * @throws DebloatError if it is none, is for Windows, or does not fit `manifest`.
 */
export function parseConfig(
  bytes: Buffer,
  source: string,
  of: Document<ImageManifest>,
): Document<ImageConfig> {
  const what = `the config of ${source}`;
  const expected = of.value.config.digest;
  const actual = digestOf(bytes);
  if (actual !== expected) {
    throw new DebloatError(`${what} is damaged: its digest is ${actual} instead of ${expected}`, {
      hint: 'pull or build the image again',
    });
  }
  const value = check(config, parseJson(bytes, what), what) as unknown as ImageConfig;
  if (value.os !== 'linux') {
    throw new DebloatError(
      `${source} is an image for ${value.os || 'an unknown system'}, not Linux`,
      {
        hint: 'debloat works on Linux images; ask for another platform with --platform linux/…',
      },
    );
  }
  const layers = of.value.layers.length;
  const diffIds = value.rootfs.diff_ids.length;
  if (layers !== diffIds) {
    throw new DebloatError(
      `${source} is damaged: its manifest lists ${layers} layers, its config ${diffIds}`,
      { hint: 'build the image again' },
    );
  }
  if (layers === 0) {
    throw new DebloatError(`${source} has no layers: there is nothing in it to debloat`);
  }
  return { bytes, digest: actual, mediaType: of.value.config.mediaType, value };
}

function isSchema1(json: unknown): boolean {
  return (
    typeof json === 'object' && json !== null && 'schemaVersion' in json && json.schemaVersion === 1
  );
}

function refuseArtifact(value: ImageManifest, source: string): void {
  const type = value.config.mediaType;
  if (type === mediaTypes.ociConfig || type === mediaTypes.dockerConfig) return;
  const what = type.includes('helm')
    ? 'a Helm chart'
    : `an artifact (${value.artifactType ?? type})`;
  throw new DebloatError(`${source} is ${what}, not a container image`, {
    hint: 'name the image that runs the workload',
  });
}

function refuseUnreadable(layer: Descriptor, position: number, source: string): void {
  const type = layer.mediaType;
  const name = `layer ${position + 1} (${layer.digest}) of ${source}`;
  if (type.includes('+encrypted')) {
    throw new DebloatError(`${name} is encrypted`, {
      hint: 'decrypt the image first (skopeo copy --decryption-key …)',
    });
  }
  if (type.includes('nondistributable') || type.includes('.foreign.')) {
    throw new DebloatError(`${name} is not distributable: its content is not in the image`, {
      hint: 'build the image on a base whose layers can be distributed',
    });
  }
  if (!type.startsWith(mediaTypes.ociLayer) && !type.startsWith(mediaTypes.dockerLayer)) {
    throw new DebloatError(`${name} is of the unknown type ${JSON.stringify(type)}`);
  }
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw new DebloatError(`${what} is not JSON`, { cause: error });
  }
}

function check<T>(schema: z.ZodType<T>, json: unknown, what: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new DebloatError(
    `${what} is malformed: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim(),
    { hint: 'the image was damaged or made by a faulty tool; pull or build it again' },
  );
}
