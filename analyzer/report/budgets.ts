import { DebloatError, ExitCode } from '../errors.js';
import { bytes, percent, savedFraction } from './format.js';
import type { Budgets, Report } from './model.js';

/** What the user demands of the result. */
export interface Limits {
  /** Bytes that the debloated image may have, uncompressed. */
  maxSize?: number;
  /** Fraction of the uncompressed size that must go, 0 to 1. */
  minSavings?: number;
}

const multipliers: Record<string, number> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Bytes in "50MB", "1.5 GB", "120MiB" or "1048576"; k, M, G, T are powers of 1000, Ki, Mi, … of 1024. */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?i?)b?\s*$/i.exec(text);
  const multiplier = multipliers[match?.[2]?.toLowerCase() ?? 'none'];
  const size = Math.floor(Number(match?.[1]) * (multiplier ?? NaN));
  if (!Number.isSafeInteger(size)) {
    throw new DebloatError(`"${text}" is not a size`, {
      hint: 'write for example 50MB, 1.5GB or 120MiB',
      exitCode: ExitCode.usage,
    });
  }
  return size;
}

/** The fraction in "60%" or "60" (percent): 0.6. */
export function parsePercent(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*%?\s*$/.exec(text);
  const fraction = Number(match?.[1]) / 100;
  if (!(fraction >= 0 && fraction <= 1)) {
    throw new DebloatError(`"${text}" is not a percentage`, {
      hint: 'write for example 60%',
      exitCode: ExitCode.usage,
    });
  }
  return fraction;
}

/** Hold sizes (bytes, uncompressed) against `limits`; null if there are none. */
export function checkBudgets(before: number, after: number, limits: Limits): Budgets | null {
  const { maxSize, minSavings } = limits;
  if (maxSize === undefined && minSavings === undefined) return null;
  const saved = savedFraction(before, after);
  const misses: string[] = [];
  if (maxSize !== undefined && after > maxSize) {
    misses.push(
      `the debloated image has ${bytes(after)} uncompressed, ${bytes(after - maxSize)} more than the allowed ${bytes(maxSize)}`,
    );
  }
  if (minSavings !== undefined && saved < minSavings) {
    misses.push(`debloating saved ${percent(saved)} instead of at least ${percent(minSavings)}`);
  }
  return {
    maxSize: maxSize ?? null,
    minSavings: minSavings ?? null,
    met: misses.length === 0,
    misses,
  };
}

/** Throw with exit code 3 if `report` misses a budget. */
export function requireBudgets(report: Report): void {
  if (!report.budgets || report.budgets.met) return;
  const [biggest] = report.kept.biggestFiles;
  throw new DebloatError(`size budget missed: ${report.budgets.misses.join('; ')}`, {
    exitCode: ExitCode.budgetMissed,
    hint: biggest
      ? `the report lists the biggest kept files (first: ${biggest.path}, ${bytes(biggest.bytes)}); see --policy strict and --drop`
      : 'raise the budget',
  });
}
