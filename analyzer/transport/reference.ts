import { DebloatError, ExitCode } from '../errors.js';

/** The name of an image in an engine or a registry, with Docker's defaults filled in. */
export interface ImageName {
  /** "docker.io", "localhost:5000". */
  registry: string;
  /** "library/nginx", "team/api". */
  repository: string;
  /** "latest" where the reference has neither tag nor digest. */
  tag?: string;
  /** "sha256:…". */
  digest?: string;
}

/** Where an image is, or is to go. `text` is what the user wrote. */
export type Reference =
  | {
      /** `any`: the engine if it has it, then the registry. */
      transport: 'engine' | 'registry' | 'any';
      text: string;
      name: ImageName;
    }
  /** An image of the engine by its ID, "sha256:…" or the short form. */
  | { transport: 'engine-id'; text: string; id: string }
  | {
      transport: 'oci' | 'oci-archive' | 'docker-archive';
      text: string;
      path: string;
      tag?: string;
    }
  | { transport: 'dir'; text: string; path: string };

const examples =
  'examples: nginx:1, docker://nginx:1 (local engine), registry://localhost:5000/team/api:2, ' +
  'oci:./layout:tag, oci-archive:./image.tar, docker-archive:./image.tar, dir:./image';

/**
 * Parse a reference: `docker://NAME` (the local engine), `registry://NAME`, `oci:DIR[:TAG]`,
 * `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]`, `dir:DIR`, or a bare NAME.
 * @throws DebloatError (usage) with examples if it is none of these.
 */
export function parseReference(text: string): Reference {
  const [, scheme = '', rest = ''] =
    /^(docker|registry|oci|oci-archive|docker-archive|dir):(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case 'docker':
    case 'registry': {
      const transport = scheme === 'docker' ? 'engine' : 'registry';
      if (!rest.startsWith('//')) break; // the images called "docker" and "registry", with a tag
      const name = rest.slice(2);
      if (transport === 'engine' && /^(?:sha256:[0-9a-f]+|[0-9a-f]{12,64})$/.test(name)) {
        return { transport: 'engine-id', text, id: name };
      }
      return { transport, text, name: parseImageName(name, text) };
    }
    case 'oci':
    case 'oci-archive':
    case 'docker-archive':
      return { transport: scheme, text, ...pathAndTag(rest, text) };
    case 'dir':
      if (rest === '') throw usage(`${quote(text)} names no directory`);
      return { transport: 'dir', text, path: rest };
  }
  if (text.includes('://')) {
    throw usage(`${quote(text)} begins with a scheme that is not known`);
  }
  return { transport: 'any', text, name: parseImageName(text, text) };
}

/** A reference in its full spelling, which {@link parseReference} reads as the same. */
export function formatReference(reference: Reference): string {
  switch (reference.transport) {
    case 'engine':
      return `docker://${familiarName(reference.name)}`;
    case 'engine-id':
      return `docker://${reference.id}`;
    case 'registry':
      return `registry://${fullName(reference.name)}`;
    case 'any':
      return familiarName(reference.name);
    case 'dir':
      return `dir:${reference.path}`;
    case 'oci':
    case 'oci-archive':
    case 'docker-archive':
      return [reference.transport, reference.path, ...(reference.tag ? [reference.tag] : [])].join(
        ':',
      );
  }
}

/** "registry/repository:tag" or "registry/repository@digest", nothing left out. */
export function fullName(name: ImageName): string {
  return withSuffix(`${name.registry}/${name.repository}`, name);
}

/** The name as engines show it: "nginx:1" for docker.io/library/nginx:1. */
export function familiarName(name: ImageName): string {
  const prefix = name.registry === 'docker.io' ? '' : `${name.registry}/`;
  const repository =
    prefix === '' && /^library\/[^/]+$/.test(name.repository)
      ? name.repository.slice('library/'.length)
      : name.repository;
  return withSuffix(prefix + repository, name);
}

// A digest says more than a tag, and tools refuse to be given both.
function withSuffix(name: string, { tag, digest }: ImageName): string {
  if (digest !== undefined) return `${name}@${digest}`;
  return tag === undefined ? name : `${name}:${tag}`;
}

/**
 * Whether a registry is spoken to without TLS unless told otherwise: Docker trusts loopback
 * (127.0.0.0/8, ::1, localhost).
 */
export function isLoopbackRegistry(registry: string): boolean {
  const host = registry.replace(/:[0-9]+$/, '');
  return /^(localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\])$/.test(host);
}

/** Parse NAME[:TAG][@DIGEST] by the grammar of github.com/distribution/reference. */
export function parseImageName(name: string, text = name): ImageName {
  const match = /^(?<path>[^@]*?)(?::(?<tag>[^/:@]*))?(?:@(?<digest>.*))?$/s.exec(name);
  const { path = '', tag, digest } = match?.groups ?? {};
  if (path === '') throw usage(`${quote(text)} names no image`);
  const { registry, repository } = splitRegistry(path);
  if (/[A-Z]/.test(repository)) {
    throw usage(`${quote(text)}: names of images are lower case (${path.toLowerCase()})`);
  }
  const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
  if (!new RegExp(`^${component}(?:/${component})*$`).test(repository)) {
    throw usage(`${quote(text)} is not a valid name of an image`);
  }
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) {
    throw usage(`${quote(text)}: ${quote(tag)} is not a valid tag`);
  }
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    throw usage(`${quote(text)}: ${quote(digest)} is not a sha256 digest`);
  }
  return {
    registry,
    repository,
    ...(tag === undefined ? digest === undefined && { tag: 'latest' } : { tag }),
    ...(digest !== undefined && { digest }),
  };
}

// The first component is a host if it looks like one, as Docker decides it.
function splitRegistry(path: string): { registry: string; repository: string } {
  const slash = path.indexOf('/');
  const first = path.slice(0, Math.max(0, slash));
  const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
  const host = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?$`);
  const isHost = host.test(first) && /[.:]|^localhost$/.test(first);
  if (!isHost) {
    return {
      registry: 'docker.io',
      repository: path.includes('/') ? path : `library/${path}`,
    };
  }
  const repository = path.slice(slash + 1);
  if (first !== 'docker.io' && first !== 'index.docker.io') return { registry: first, repository };
  return {
    registry: 'docker.io',
    repository: repository.includes('/') ? repository : `library/${repository}`,
  };
}

function pathAndTag(rest: string, text: string): { path: string; tag?: string } {
  const colon = rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? '' : rest.slice(colon + 1);
  if (path === '') throw usage(`${quote(text)} names no file or directory`);
  return tag === '' ? { path } : { path, tag };
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function usage(message: string): DebloatError {
  return new DebloatError(message, { hint: examples, exitCode: ExitCode.usage });
}
