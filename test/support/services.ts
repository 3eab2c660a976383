import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The path of a script of test/setup. */
export function setupScript(name: string): string {
  return fileURLToPath(new URL(`../setup/${name}.sh`, import.meta.url));
}

function run(script: string, ...args: string[]): string {
  return execFileSync(setupScript(script), args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}

/** Start what test.sh starts and put the addresses into the environment; returns the state directory. */
export function startServices(): string {
  const state = mkdtempSync(join(tmpdir(), 'dbt-'));
  process.env['DEBLOAT_TEST_STATE'] = state;
  const names = run('images', 'default').split('\n');
  run('images', 'build', ...names);
  const engine = run('engine', 'start');
  if (engine !== '') process.env['DOCKER_HOST'] = engine;
  const address = run('registry', 'start');
  process.env['DEBLOAT_TEST_REGISTRY'] = address;
  run('images', 'push', address, ...names);
  run('images', 'load', ...names);
  return state;
}

/** Stop what {@link startServices} started. */
export function stopServices(state: string): void {
  run('registry', 'stop');
  run('engine', 'stop');
  rmSync(state, { recursive: true, force: true });
}
