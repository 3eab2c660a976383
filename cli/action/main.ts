import { fileURLToPath } from 'node:url';
import { runAction } from './run.js';

process.exitCode = await runAction({
  cli: fileURLToPath(new URL('../main.js', import.meta.url)),
  env: process.env,
  log: process.stdout,
});
