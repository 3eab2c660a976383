import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { policies } from '../../analyzer/keep/types.js';
import { parseReport } from '../../analyzer/report/read.js';
import { runCliWell } from '../support/cli.js';
import { testImage } from '../support/images.js';

/** What slim left of images made the same way (MB, as it was measured once), where the result worked. */
const slim: Record<string, number> = {
  'nginx-plain': 10,
  'redis-plain': 18,
  memcached: 8,
  haproxy: 19,
  flask: 28,
  node: 97,
};

const images = [
  'nginx-plain',
  'redis-plain',
  'memcached',
  'haproxy',
  'flask',
  'node',
  'nginx',
  'redis',
  'postgres',
  'apache-php',
  'non-root',
  'static',
];

test('kept sizes by policy', async () => {
  execFileSync('bash', ['test/setup/images.sh', 'build', 'nginx-plain', 'redis-plain'], {
    stdio: 'inherit',
  });
  const dir = mkdtempSync(join(tmpdir(), 'bench-sizes-'));
  const rows: Record<string, Record<string, unknown>> = {};
  try {
    for (const image of images) {
      const row: Record<string, unknown> = (rows[image] = {});
      for (const policy of policies) {
        const startedAt = performance.now();
        const { stdout } = await runCliWell(
          [
            'build',
            testImage(image).oci,
            '--policy',
            policy,
            '--format',
            'json',
            '--quiet',
            '--output-dir',
            join(dir, image),
          ],
          { timeout: 600_000 },
        );
        const report = parseReport(stdout, image);
        expect(report.verification.status).toBe('passed');
        row['beforeMB'] = megabytes(report.sizes.before.uncompressed);
        row[`${policy}MB`] = megabytes(report.sizes.after.uncompressed);
        if (policy === 'balanced') {
          row['overlayMB'] = megabytes(report.overlay.size);
          row['seconds'] = Math.round((performance.now() - startedAt) / 100) / 10;
          row['verified'] = report.verification.status;
          row['largest'] = report.kept.biggestFiles
            .slice(0, 3)
            .map(({ path, bytes, reason }) => `${path} (${megabytes(bytes)}: ${reason})`);
        }
      }
      row['slimMB'] = slim[image] ?? null;
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, row]) => [name, { ...row, largest: undefined }]),
    ),
  );
  mkdirSync('out/bench', { recursive: true });
  writeFileSync('out/bench/sizes.json', `${JSON.stringify(rows, undefined, 2)}\n`);
});

function megabytes(size: number): number {
  return Math.round(size / 1e4) / 100;
}
