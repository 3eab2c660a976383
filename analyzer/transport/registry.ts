import { existsSync } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DebloatError } from '../errors.js';
import { parseIndex, parseManifest } from '../image/manifest.js';
import type { Platform } from '../image/types.js';
import type { AcquireContext, Acquired } from './acquired.js';
import { readDirectory } from './directory.js';
import { DirectoryFiles } from './file-set.js';
import { choosePlatform } from './platform.js';
import { familiarName, fullName, isLoopbackRegistry, type ImageName } from './reference.js';
import { skopeo } from './skopeo.js';

export interface RegistryAccess {
  /** Plain HTTP and unverified certificates; `auto` (the default) allows them on loopback only. */
  insecure?: boolean | 'auto' | undefined;
  /** As `--authfile` of skopeo; default: what skopeo and Docker use. */
  authFile?: string | undefined;
  credentials?: { username: string; password: string } | undefined;
}

/** The flags that make skopeo use `access`; a file with the credentials is written into `dir`. */
export async function skopeoAccess(
  registry: string,
  access: RegistryAccess,
  dir: string,
): Promise<{ auth: string[]; isSecure: boolean }> {
  const insecure = access.insecure ?? 'auto';
  const isSecure = insecure === 'auto' ? !isLoopbackRegistry(registry) : !insecure;
  return { auth: await authFlags(registry, access, dir), isSecure };
}

/**
 * Copy an image out of a registry into `context.dir`, manifest, config and layers as they are there.
 * The manifest is resolved first, so that a tag that moves meanwhile does no harm.
 */
export async function fetchFromRegistry(
  name: ImageName,
  access: RegistryAccess,
  platform: Platform | undefined,
  context: AcquireContext,
): Promise<Acquired> {
  const image = familiarName(name);
  const { auth, isSecure } = await skopeoAccess(name.registry, access, context.dir);
  const verify = `tls-verify=${isSecure}`;
  const inspect = (reference: ImageName) =>
    skopeo([...policyFlags(), 'inspect', '--raw', `--${verify}`, ...auth, urlOf(reference)], {
      image,
      signal: context.signal,
    });

  let chosen = name;
  let bytes = await inspect(name);
  for (let index = parseIndex(bytes, image); index; index = parseIndex(bytes, image)) {
    const { digest } = choosePlatform(index.manifests, platform, image);
    if (digest === chosen.digest) throw new DebloatError(`the index of ${image} lists itself`);
    chosen = { registry: name.registry, repository: name.repository, digest };
    bytes = await inspect(chosen);
  }
  const manifest = parseManifest(bytes, image);
  chosen = { registry: name.registry, repository: name.repository, digest: manifest.digest };

  const dir = join(context.dir, 'blobs');
  await mkdir(dir);
  const total = manifest.value.layers.reduce((sum, { size }) => sum + size, 0);
  const watch = watchSize(dir, (done) => {
    context.progress?.({ stage: 'fetch', bytes: Math.min(done, total), total });
  });
  try {
    await skopeo(
      [...policyFlags(), 'copy', `--src-${verify}`, ...auth, urlOf(chosen), `dir:${dir}`],
      { image, writes: { dir, size: total }, signal: context.signal },
    );
  } finally {
    watch.stop();
  }
  return readDirectory(new DirectoryFiles(dir, { own: true }), image);
}

function urlOf(name: ImageName): string {
  return `docker://${fullName(name)}`;
}

/** Skopeo refuses to work where no signature policy is installed; there is nothing to check then. */
export function policyFlags(): string[] {
  const files = [join(homedir(), '.config/containers/policy.json'), '/etc/containers/policy.json'];
  return files.some((file) => existsSync(file)) ? [] : ['--insecure-policy'];
}

async function authFlags(
  registry: string,
  { authFile, credentials }: RegistryAccess,
  dir: string,
): Promise<string[]> {
  if (credentials) {
    // In a file, since the command line is for everyone to see.
    const file = join(dir, 'auth.json');
    const auth = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
    await writeFile(file, JSON.stringify({ auths: { [registry]: { auth } } }), { mode: 0o600 });
    return [`--authfile=${file}`];
  }
  if (authFile !== undefined) {
    if (!existsSync(authFile)) {
      throw new DebloatError(`there is no authentication file ${authFile}`, {
        hint: 'make one: skopeo login --authfile FILE HOST',
      });
    }
    return [`--authfile=${authFile}`];
  }
  const dockerConfig = process.env['DOCKER_CONFIG'];
  if (dockerConfig !== undefined && process.env['REGISTRY_AUTH_FILE'] === undefined) {
    const file = join(dockerConfig, 'config.json');
    if (existsSync(file)) return [`--authfile=${file}`];
  }
  return [];
}

// Skopeo has no progress for programs; the files that grow in its directory tell as much.
function watchSize(dir: string, see: (bytes: number) => void): { stop: () => void } {
  const timer = setInterval(() => {
    void directorySize(dir).then(see, () => undefined);
  }, 250);
  return { stop: () => clearInterval(timer) };
}

async function directorySize(dir: string): Promise<number> {
  const names = await readdir(dir);
  const sizes = names.map(async (name) => (await stat(join(dir, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
