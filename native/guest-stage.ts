import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Built, this file is dist/native/guest-stage.js and the object lies beside it; the sources have it in dist/native.
const places = ['./', '../dist/native/'];

/** The path of stage 1 as a relocatable object (native/guest); undefined where it was not built: on other machines than x86-64. */
export function guestStagePath(): string | undefined {
  return builtFile('stage1.o');
}

/** The path of stage 2, a program for this kind of processor; undefined where it was not built. */
export function sessionProgramPath(): string | undefined {
  return builtFile(`stage2-${process.arch === 'arm64' ? 'arm64' : 'amd64'}`);
}

/** The path of the hypervisor's gate (native/hypervisor), as a relocatable object; as above. */
export function gatePath(): string | undefined {
  return builtFile('gate.o');
}

function builtFile(name: string): string | undefined {
  return places
    .map((place) => fileURLToPath(new URL(`${place}${name}`, import.meta.url)))
    .find((path) => existsSync(path));
}
