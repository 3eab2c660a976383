#!/usr/bin/env -S node --
// Without --, Node 20 takes an --env-file among our own arguments for its own.
import { reportFailure } from './failure.js';
import { createProgram } from './program.js';

// Whoever reads us may stop early (`| head -1`); what was begun is still finished or cleaned up.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

try {
  await createProgram().parseAsync();
} catch (error) {
  const args = process.argv.slice(2);
  const json =
    args.includes('--format=json') ||
    args[args.indexOf('--format') + 1] === 'json' ||
    (process.env['DEBLOAT_FORMAT'] === 'json' && !args.some((arg) => arg.startsWith('--format')));
  const debug = args.includes('--debug') || process.env['DEBLOAT_DEBUG'] !== undefined;
  process.exitCode = reportFailure(error, { json, debug });
}
