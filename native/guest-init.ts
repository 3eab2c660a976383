import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Built, this file is dist/native/guest-init.js and the init lies beside it; the sources have it in dist/native.
const places = ['./', '../dist/native/'];

/** The init of a microVM of `architecture` (OCI's name), or undefined where it was not built. */
export function guestInitPath(architecture: string): string | undefined {
  return places
    .map((place) => fileURLToPath(new URL(`${place}init-${architecture}`, import.meta.url)))
    .find((file) => existsSync(file));
}
