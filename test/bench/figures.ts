import { mkdirSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
export const median = (values: readonly number[]) => quantile(values, 0.5);
export const sum = (values: readonly number[]) => values.reduce((whole, value) => whole + value, 0);

interface Row {
  figure: string;
  ours: string;
  peer: string;
  ratio?: number;
  target: string;
  met: boolean | undefined;
}

/** The figures of one benchmark, written to out/bench/NAME.json in the end. */
export class Figures {
  readonly rows: Row[] = [];
  readonly details: Record<string, unknown> = {};

  constructor(readonly name: string) {}

  /** A figure beside its peer's in the same run; a limit that is missed fails the test at its end. */
  compare(
    figure: string,
    [ours, peer]: readonly [number, number],
    unit: string,
    limit: { atMost?: number; atLeast?: number } = {},
    ratio = ours / peer,
  ): void {
    const { atMost, atLeast } = limit;
    const met =
      (atMost === undefined || ratio <= atMost) && (atLeast === undefined || ratio >= atLeast);
    const target =
      atMost !== undefined ? `<= ${atMost}` : atLeast !== undefined ? `>= ${atLeast}` : '-';
    const told = (value: number) => `${value.toPrecision(4)} ${unit}`;
    this.rows.push({
      ...{ figure, ours: told(ours), peer: told(peer), ratio: Number(ratio.toFixed(3)), target },
      met: target === '-' ? undefined : met,
    });
    expect.soft(met, `${figure}: ${ratio.toFixed(3)}, target ${target}`).toBe(true);
  }

  write(): void {
    console.table(this.rows);
    mkdirSync('out/bench', { recursive: true });
    const { rows, details } = this;
    const text = JSON.stringify({ rows, details }, undefined, 2);
    writeFileSync(`out/bench/${this.name}.json`, `${text}\n`);
  }
}
