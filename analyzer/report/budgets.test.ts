import { describe, expect, it } from 'vitest';
import { sampleInput } from '../../test/support/report.js';
import { checkBudgets, parsePercent, parseSize, requireBudgets } from './budgets.js';
import { createReport } from './create.js';

describe('parseSize', () => {
  it.each([
    ['50MB', 50_000_000],
    ['50 mb', 50_000_000],
    ['50M', 50_000_000],
    ['1.5GB', 1_500_000_000],
    ['120MiB', 125_829_120],
    ['2Ki', 2048],
    ['7kB', 7000],
    ['1048576', 1_048_576],
    ['10B', 10],
  ])('reads %s as %i bytes', (text, size) => {
    expect(parseSize(text)).toBe(size);
  });

  it.each(['', 'MB', '-5MB', '5 parsecs', '1e3', '5i', '99999999TB', '0x10'])(
    'refuses "%s" as a usage error',
    (text) => {
      expect(() => parseSize(text)).toThrow(
        expect.objectContaining({ message: `"${text}" is not a size`, exitCode: 2 }),
      );
    },
  );
});

describe('parsePercent', () => {
  it.each([
    ['60%', 0.6],
    ['60', 0.6],
    ['0', 0],
    ['12.5 %', 0.125],
    ['100%', 1],
  ])('reads %s as %f', (text, fraction) => {
    expect(parsePercent(text)).toBeCloseTo(fraction, 10);
  });

  it.each(['', '%', '-1%', '101%', 'half'])('refuses "%s"', (text) => {
    expect(() => parsePercent(text)).toThrow('is not a percentage');
  });
});

describe('checkBudgets', () => {
  it('is null without limits and met at exactly the limit', () => {
    expect(checkBudgets(100, 40, {})).toBeNull();
    expect(checkBudgets(100, 40, { maxSize: 40, minSavings: 0.6 })).toEqual({
      maxSize: 40,
      minSavings: 0.6,
      met: true,
      misses: [],
    });
  });

  it('says each budget that is missed', () => {
    expect(checkBudgets(181_000_000, 90_000_000, { maxSize: 50_000_000, minSavings: 0.6 })).toEqual(
      {
        maxSize: 50_000_000,
        minSavings: 0.6,
        met: false,
        misses: [
          'the debloated image has 90.0 MB uncompressed, 40.0 MB more than the allowed 50.0 MB',
          'debloating saved 50.2% instead of at least 60.0%',
        ],
      },
    );
  });

  it('does not count an empty image as saved', () => {
    expect(checkBudgets(0, 0, { minSavings: 0.1 })?.met).toBe(false);
  });
});

describe('requireBudgets', () => {
  it('throws with exit code 3 and names the biggest kept file', () => {
    const report = createReport({ ...sampleInput(), limits: { maxSize: 1000 } });
    expect(() => requireBudgets(report)).toThrow(
      expect.objectContaining({
        exitCode: 3,
        hint: expect.stringContaining('/usr/lib/libc.so.6, 1.90 MB') as string,
      }),
    );
    expect(() => requireBudgets(createReport(sampleInput()))).not.toThrow();
  });
});
