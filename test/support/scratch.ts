import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A directory for the results of one test file, removed after its last test. */
export function scratchDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'dbt-scratch-'));
  afterAll(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}
