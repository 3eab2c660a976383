import { existsSync } from 'node:fs';
import { sweepWorkspace } from './workspace.js';

// Started by Workspace with a pipe on stdin: when the pipe closes, the owner has ended, however it did.
const dir = process.argv[2];
/** For what an engine was doing when its asker was killed: milliseconds. */
const patience = 6000;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.stdin.resume();
process.stdin.on('close', () => {
  if (dir === undefined || !existsSync(dir)) return;
  sweepWorkspace(dir, patience).catch(() => {
    process.exitCode = 1; // the journal is still there: the next run tries again
  });
});
