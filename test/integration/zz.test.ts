import { it } from 'vitest';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { diskModules, startKvmGuest } from '../vm/kvm-guest.js';
it('x', async () => {
  const suite = process.env['SUITE'] ?? 'bookworm';
  const directory = `/tmp/kvmg-${suite}`;
  rmSync(directory, { recursive: true, force: true }); mkdirSync(directory);
  const guest = await startKvmGuest({ suite: suite as 'bookworm', directory, modules: diskModules, ...JSON.parse(process.env['OPTS'] ?? '{}') });
  writeFileSync(`${directory}/pid`, `${guest.pid}`);
  await new Promise((r) => setTimeout(r, Number(process.env['SECS'] ?? 290) * 1000));
}, 1000_000);
