import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startCli } from '../../support/cli.js';
import { testImage } from '../../support/images.js';
import { expectNothingLeft, snapshotMachine } from '../../support/leaks.js';
import { scratchDirectory } from '../../support/scratch.js';

const scratch = scratchDirectory();

/** What the progress on stderr says when a stage begins. */
const stages = [
  'Open the image ...',
  'Bring the image to',
  'Run and trace',
  'Build the debloated image',
  'Verify: run the debloated image',
];

interface Ending {
  code: number | undefined;
  signal: string | undefined;
  stderr: string;
}

/** Build the nginx image, and send `signal` as soon as stderr says `stage`. */
async function buildAndSend(
  signal: NodeJS.Signals,
  stage: string,
  runtime: string,
  outputDir: string,
): Promise<Ending> {
  const running = startCli([
    ...['build', testImage('nginx').registry, '--runtime', runtime, '--http', '/'],
    ...['--output-dir', outputDir, '--tag', 'oci:' + join(outputDir, 'image:1')],
  ]);
  let said = '';
  running.stderr.on('data', (chunk: Buffer) => {
    const before = said.includes(stage);
    said += chunk.toString();
    if (!before && said.includes(stage)) running.kill(signal);
  });
  const { exitCode, signal: endedBy } = await running;
  expect(said).toContain(stage);
  return { code: exitCode, signal: endedBy, stderr: said };
}

describe.each(['runc', 'docker'])('a build on %s that is ended while it says', (runtime) => {
  const outputDir = join(scratch, `out-${runtime}`);

  it.each(stages)('"%s": SIGTERM cleans up', async (stage) => {
    const before = await snapshotMachine();
    const ending = await buildAndSend('SIGTERM', stage, runtime, outputDir);
    expect(ending.code).toBe(130);
    expect(ending.stderr).toMatch(/^error: interrupted by SIGTERM$/m);
    expect(ending.stderr).not.toContain('unexpected failure');
    await expectNothingLeft(before);
    expect(existsSync(outputDir)).toBe(false);
  });

  it.each(stages)('"%s": its reaper cleans up after kill -9', async (stage) => {
    const before = await snapshotMachine();
    const ending = await buildAndSend('SIGKILL', stage, runtime, outputDir);
    expect(ending.signal).toBe('SIGKILL');
    await expectNothingLeft(before, 30);
    expect(existsSync(outputDir)).toBe(false);
  });

  it('"Run and trace": Ctrl-C cleans up', async () => {
    const before = await snapshotMachine();
    const ending = await buildAndSend('SIGINT', 'Run and trace', runtime, outputDir);
    expect(ending.code).toBe(130);
    await expectNothingLeft(before);
    expect(existsSync(outputDir)).toBe(false);
  });
});
