import { TarError } from './tar-header.js';
import { joinPath, type ImagePath } from './path.js';

/** What a member's name means in a layer (OCI image spec, layer.md; `metadata` is AUFS's own). */
export type MemberName = { kind: 'plain' | 'whiteout' | 'opaque' | 'metadata'; path: ImagePath };

/** The image path of a name in a tar, which is relative to the image's root even if it is absolute. */
export function imagePath(name: string): ImagePath {
  if (isClean(name)) return `/${name}`;
  let path = '';
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..')
      throw new TarError('its name contains `..`, which could climb out of the image');
    path += `/${part}`;
  }
  return path === '' ? '/' : path;
}

/** The image path that a hardlink names; `..` is resolved, but must not climb out of the image. */
export function hardlinkTarget(link: string): ImagePath {
  const parts: string[] = [];
  for (const part of link.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) {
      throw new TarError(`its hardlink target ${JSON.stringify(link)} climbs out of the image`);
    }
  }
  return `/${parts.join('/')}`;
}

/** Tell whiteouts, opaque markers and AUFS metadata from ordinary names. */
export function classify(path: ImagePath): MemberName {
  if (!path.includes('/.wh.')) return { kind: 'plain', path };
  const slash = path.lastIndexOf('/');
  const dir = slash === 0 ? '/' : path.slice(0, slash);
  const base = path.slice(slash + 1);
  if (base === '.wh..wh..opq') return { kind: 'opaque', path: dir };
  if (path.includes('/.wh..wh.')) return { kind: 'metadata', path };
  if (!base.startsWith('.wh.')) return { kind: 'plain', path };
  const name = base.slice('.wh.'.length);
  if (name === '' || name === '.' || name === '..') {
    throw new TarError('it is a whiteout that names no file');
  }
  return { kind: 'whiteout', path: joinPath(dir, name) };
}

// The usual case without splitting: "usr/bin/x".
function isClean(name: string): boolean {
  return !/^$|^\/|\/$|\/\/|(?:^|\/)\.{1,2}(?:\/|$)/.test(name);
}
