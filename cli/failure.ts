import { CommanderError } from 'commander';
import pc from 'picocolors';
import { DebloatError, ExitCode, messageOf } from '../analyzer/errors.js';

/** Print `error` for a person, or as JSON if that is what stdout carries; returns the exit code. */
export function reportFailure(error: unknown, options: { json: boolean; debug: boolean }): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  const known = error instanceof DebloatError;
  const message = known ? error.message : `unexpected failure: ${messageOf(error)}`;
  const hint = known
    ? error.hint
    : 'this is a bug in debloat; run again with --debug and report what it prints';
  process.stderr.write(`${pc.red('error:')} ${message}\n`);
  if (hint) process.stderr.write(`${pc.cyan(' hint:')} ${hint}\n`);
  if (options.debug && error instanceof Error) process.stderr.write(`${describeChain(error)}\n`);
  const exitCode = known ? error.exitCode : ExitCode.failure;
  // A missed budget comes after the report, which then is the result.
  if (options.json && exitCode !== ExitCode.budgetMissed)
    process.stdout.write(`${JSON.stringify({ error: { message, hint, exitCode } })}\n`);
  return exitCode;
}

function describeChain(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error
    ? `${stack}\ncaused by: ${describeChain(error.cause)}`
    : stack;
}
