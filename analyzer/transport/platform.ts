import { DebloatError, ExitCode } from '../errors.js';
import type { Descriptor, Platform } from '../image/types.js';

const architectures: Partial<Record<NodeJS.Architecture, Omit<Platform, 'os'>>> = {
  x64: { architecture: 'amd64' },
  arm64: { architecture: 'arm64', variant: 'v8' },
  arm: { architecture: 'arm', variant: 'v7' },
  ia32: { architecture: '386' },
  ppc64: { architecture: 'ppc64le' },
  s390x: { architecture: 's390x' },
  riscv64: { architecture: 'riscv64' },
};

/** The platform of this machine, in Go's names as images use them. */
export function machinePlatform(): Platform {
  return { os: 'linux', ...(architectures[process.arch] ?? { architecture: process.arch }) };
}

/** Parse "linux/amd64" or "linux/arm64/v8". */
export function parsePlatform(text: string): Platform {
  const match = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/.exec(text);
  const [, os, architecture, variant] = match ?? [];
  if (os === undefined || architecture === undefined) {
    throw new DebloatError(`${JSON.stringify(text)} is not a platform`, {
      hint: 'examples: linux/amd64, linux/arm64, linux/arm/v7',
      exitCode: ExitCode.usage,
    });
  }
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** "linux/arm64/v8". */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

/** Whether an image for `have` is what was asked for with `wanted`; a variant left out matches any. */
export function matchesPlatform(have: Platform, wanted: Platform): boolean {
  if (have.os !== wanted.os || have.architecture !== wanted.architecture) return false;
  return !wanted.variant || variantOf(have) === variantOf(wanted);
}

// arm64 has but one variant in use, which many images leave out.
function variantOf({ architecture, variant }: Platform): string | undefined {
  return variant || (architecture === 'arm64' ? 'v8' : undefined);
}

/**
 * The manifest of an index for the platform asked for, else for this machine.
 * @throws DebloatError that lists the platforms there are.
 */
export function choosePlatform(
  manifests: readonly Descriptor[],
  asked: Platform | undefined,
  source: string,
): Descriptor {
  const [only] = manifests;
  if (only && manifests.length === 1 && !only.platform) return only;
  // Attestations and other riders are listed with the platform unknown/unknown.
  const images = manifests.filter(({ platform }) => platform && platform.os !== 'unknown');
  const wanted = asked ?? machinePlatform();
  const exact = images.find(({ platform }) => platform && matchesPlatform(platform, wanted));
  // Asked for nothing, an older variant will run as well.
  const near = asked
    ? undefined
    : images.find(
        ({ platform }) =>
          platform &&
          matchesPlatform(platform, { os: wanted.os, architecture: wanted.architecture }),
      );
  const chosen = exact ?? near;
  if (chosen) return chosen;
  const available = images.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : []));
  throw new DebloatError(`${source} has no image for ${formatPlatform(wanted)}`, {
    hint:
      available.length > 0
        ? `ask for one that it has with --platform: ${[...new Set(available)].join(', ')}`
        : 'it names no platforms at all: is it an artifact?',
  });
}

/** Refuse an image that is for another platform than the one asked for. */
export function requirePlatform(have: Platform, asked: Platform | undefined, source: string): void {
  if (!asked || matchesPlatform(have, asked)) return;
  throw new DebloatError(
    `${source} is for ${formatPlatform(have)}, not for ${formatPlatform(asked)}`,
    { hint: 'leave --platform out, or name an image that has that platform' },
  );
}
