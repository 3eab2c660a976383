import { z } from 'zod';
import { DebloatError } from '../errors.js';
import { digestOf } from '../image/digest.js';
import { mediaTypes, parseConfig, parseManifest } from '../image/manifest.js';
import type { Descriptor } from '../image/types.js';
import type { Acquired, LayerBlob } from './acquired.js';
import { compressionOf } from './compression.js';
import { readDocument, type FileSet } from './file-set.js';
import { familiarName, parseImageName } from './reference.js';

const imagesSchema = z.array(
  z.object({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string()),
  }),
);

type SavedImage = z.infer<typeof imagesSchema>[number];

/**
 * Read what `docker save` writes: manifest.json with the names of configs and layers. It has no
 * image manifest, so one is made up; the config, whose digest is the image's ID, is the original.
 * @param source how errors call it: what the user wrote.
 * @param tag "name:tag" or a tag alone, where the archive has several images.
 */
export async function readDockerArchive(
  files: FileSet,
  source: string,
  tag?: string,
): Promise<Acquired> {
  const image = chooseImage(await savedImages(files, source), source, tag);
  const missing = `${source} is incomplete: its config ${image.Config} is missing`;
  const configBytes = await readDocument(files, image.Config, missing);
  const blobs: LayerBlob[] = [];
  for (const [position, name] of image.Layers.entries()) {
    const found = await files.find(name);
    if (!found?.digest) {
      throw new DebloatError(
        `${source} is incomplete: layer ${position + 1} (${name}) is missing`,
        {
          hint: 'save the image again',
        },
      );
    }
    const suffix = { none: '', gzip: '.gzip', zstd: '.zstd', xz: '.xz', bzip2: '.bzip2' };
    const descriptor: Descriptor = {
      mediaType: mediaTypes.dockerLayer + suffix[await compressionOf(found.file)],
      size: found.size,
      digest: found.digest,
    };
    blobs.push({ ...found, descriptor });
  }
  const manifestBytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: {
        mediaType: mediaTypes.dockerConfig,
        size: configBytes.length,
        digest: digestOf(configBytes),
      },
      layers: blobs.map(({ descriptor }) => descriptor),
    }),
  );
  const manifest = parseManifest(manifestBytes, source);
  return { manifest, config: parseConfig(configBytes, source, manifest), blobs };
}

async function savedImages(files: FileSet, source: string): Promise<SavedImage[]> {
  const bytes = await readDocument(
    files,
    'manifest.json',
    `${source} is not an archive of docker save: it has no manifest.json`,
  );
  try {
    return imagesSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw new DebloatError(`the manifest.json of ${source} is malformed`, {
      hint: 'save the image again with docker save',
      cause: error,
    });
  }
}

function chooseImage(images: SavedImage[], source: string, tag: string | undefined): SavedImage {
  const [first] = images;
  if (!first) throw new DebloatError(`${source} has no images in it`);
  const names = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  if (tag === undefined) {
    if (images.length === 1) return first;
    throw new DebloatError(`${source} has several images: which one?`, {
      hint: `add one of its names: ${names.map((name) => `${source}:${name}`).join(', ')}`,
    });
  }
  const found = images.find(({ RepoTags }) => RepoTags?.some((name) => isNamed(name, tag)));
  if (found) return found;
  throw new DebloatError(`${source}: there is no image called ${JSON.stringify(tag)} in it`, {
    hint: names.length > 0 ? `it has: ${names.join(', ')}` : 'its image has no name: leave it out',
  });
}

function isNamed(name: string, tag: string): boolean {
  if (name === tag || name.endsWith(`:${tag}`)) return true;
  try {
    return familiarName(parseImageName(name)) === familiarName(parseImageName(tag));
  } catch {
    return false;
  }
}
