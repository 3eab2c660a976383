import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import type { Descriptor, ImageManifest } from '../../analyzer/image/types.js';

/** `sha256:…` of `bytes`. */
function digestOf(bytes: Uint8Array): `sha256:${string}` {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A tar of these members, in this order, however hostile their names. */
export async function tarOf(
  members: (Partial<Header> & { name: string; content?: string | Buffer })[],
): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of members) tar.entry(header, content ?? '');
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** An OCI layout on disk that tests may damage. */
export class Layout {
  readonly reference: string;

  constructor(readonly dir: string) {
    this.reference = `oci:${dir}:1`;
  }

  /** A copy of another layout. */
  static copyOf(source: string, dir: string): Layout {
    cpSync(source, dir, { recursive: true, dereference: true });
    return new Layout(dir);
  }

  /** A layout of an image whose layers are these tars. */
  static of(dir: string, tars: Buffer[], command: string[]): Layout {
    const layout = new Layout(dir);
    mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const config = {
      ...{ os: 'linux', architecture, config: { Cmd: command } },
      rootfs: { type: 'layers', diff_ids: tars.map(digestOf) },
    };
    layout.writeManifest({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: layout.add('config.v1+json', Buffer.from(JSON.stringify(config))),
      layers: tars.map((tar) => layout.add('layer.v1.tar+gzip', gzipSync(tar))),
    });
    return layout;
  }

  get manifest(): ImageManifest {
    const [descriptor] = this.#index.manifests;
    if (!descriptor) throw new Error('an empty index');
    return this.#json(this.blob(descriptor)) as ImageManifest;
  }

  /** The file that holds what `descriptor` describes. */
  blob({ digest }: Descriptor): string {
    return join(this.dir, 'blobs', digest.replace(':', '/'));
  }

  /** Add a blob of the type `application/vnd.oci.image.…`. */
  add(type: string, bytes: Buffer): Descriptor {
    const mediaType = `application/vnd.oci.image.${type}`;
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    writeFileSync(this.blob(descriptor), bytes);
    return descriptor;
  }

  /** Make `manifest` the one of the tag `1`. */
  writeManifest(manifest: ImageManifest): void {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const annotations = { 'org.opencontainers.image.ref.name': '1' };
    const manifests = [{ ...this.add('manifest.v1+json', bytes), annotations }];
    writeFileSync(join(this.dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  }

  get #index(): { manifests: Descriptor[] } {
    return this.#json(join(this.dir, 'index.json')) as { manifests: Descriptor[] };
  }

  #json(file: string): unknown {
    return JSON.parse(readFileSync(file, 'utf8'));
  }
}
