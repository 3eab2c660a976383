import { describe, expect, it } from 'vitest';
import type { Descriptor } from '../image/types.js';
import {
  choosePlatform,
  formatPlatform,
  machinePlatform,
  matchesPlatform,
  parsePlatform,
  requirePlatform,
} from './platform.js';

function manifest(platform: string | undefined): Descriptor {
  const descriptor: Descriptor = { mediaType: 'm', digest: 'sha256:0', size: 1 };
  return platform === undefined ? descriptor : { ...descriptor, platform: parsePlatform(platform) };
}

const index = [
  'unknown/unknown',
  'linux/amd64',
  'linux/arm/v6',
  'linux/arm/v7',
  'linux/arm64',
  'windows/amd64',
].map(manifest);

describe('choosing from an index', () => {
  it.each(['linux/amd64', 'linux/arm/v7', 'linux/arm/v6', 'windows/amd64'])('takes %s', (asked) => {
    const chosen = choosePlatform(index, parsePlatform(asked), 'x');
    expect(chosen.platform && formatPlatform(chosen.platform)).toBe(asked);
  });

  it('takes arm64 and arm64/v8 for the same', () => {
    expect(choosePlatform(index, parsePlatform('linux/arm64/v8'), 'x').platform).toEqual({
      os: 'linux',
      architecture: 'arm64',
    });
  });

  it("takes this machine's if none is asked for", () => {
    const own = { ...manifest(undefined), platform: machinePlatform() };
    expect(choosePlatform([manifest('linux/mips'), own], undefined, 'x')).toBe(own);
  });

  it('takes the only one there is if it does not say', () => {
    const only = manifest(undefined);
    expect(choosePlatform([only], parsePlatform('linux/amd64'), 'x')).toBe(only);
  });

  it('lists what there is otherwise, attestations left out', () => {
    expect(() => choosePlatform(index, parsePlatform('linux/s390x'), 'team/api:2')).toThrow(
      expect.objectContaining({
        message: 'team/api:2 has no image for linux/s390x',
        hint: expect.stringMatching(
          /: linux\/amd64, linux\/arm\/v6, linux\/arm\/v7, linux\/arm64, windows\/amd64$/,
        ) as string,
      }) as Error,
    );
    expect(() => choosePlatform([], undefined, 'x')).toThrow('no image for linux/');
  });
});

it('matches a platform without variant to any variant', () => {
  expect(matchesPlatform(parsePlatform('linux/arm/v6'), parsePlatform('linux/arm'))).toBe(true);
  expect(matchesPlatform(parsePlatform('linux/arm/v6'), parsePlatform('linux/arm/v7'))).toBe(false);
});

it('refuses an image for another platform than asked for', () => {
  const have = parsePlatform('linux/arm64');
  expect(() => requirePlatform(have, parsePlatform('linux/amd64'), 'x')).toThrow(
    'x is for linux/arm64, not for linux/amd64',
  );
  requirePlatform(have, undefined, 'x');
});

it.each(['linux', 'linux/', 'Linux/amd64', 'linux/amd64/v1/x', ''])('%j is no platform', (text) => {
  expect(() => parsePlatform(text)).toThrow('is not a platform');
});
