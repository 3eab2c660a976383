import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setupScript, startServices, stopServices } from '../support/services.js';

/**
 * Registry, engine and images for the integration tests. `npm test` has started them already and says
 * so in the environment; run by hand (`npx vitest run --project integration`) they are started here.
 * Whatever is missing fails the run: nothing is skipped.
 */
export default function setup(): (() => void) | undefined {
  if (!existsSync('dist/cli/main.js')) execFileSync(setupScript('node'), { stdio: 'inherit' });
  if (process.env['DEBLOAT_TEST_REGISTRY'] !== undefined) return undefined;
  const started = startServices();
  return () => {
    stopServices(started);
  };
}
