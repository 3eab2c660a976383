import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { DebloatError, ExitCode } from '../../analyzer/errors.js';
import { warningsOf } from '../../analyzer/report/facts.js';
import { printable } from '../../analyzer/report/format.js';
import { renderMarkdown } from '../../analyzer/report/markdown.js';
import type { Report } from '../../analyzer/report/model.js';
import { parseReport, reportFileName, serializeReport } from '../../analyzer/report/read.js';
import { renderText } from '../../analyzer/report/text.js';
import { readInputs, type ActionInputs } from './inputs.js';
import { annotation, withoutCommands, writeOutputs } from './workflow.js';

export interface ActionContext {
  /** The command line's script. */
  cli: string;
  env: NodeJS.ProcessEnv;
  /** The job's log. */
  log: NodeJS.WritableStream;
}

interface Failure {
  message: string;
  hint?: string | undefined;
}

/** Do what the GitHub Action does; returns its exit code, which is that of `debloat build`. */
export async function runAction({ cli, env, log }: ActionContext): Promise<number> {
  let inputs: ActionInputs;
  try {
    inputs = readInputs(env);
  } catch (error) {
    if (!(error instanceof DebloatError)) throw error;
    log.write(annotation('error', 'debloat', `${error.message}: ${error.hint ?? ''}`));
    return error.exitCode;
  }
  // What follows may quote file names and output of the image: no workflow command is obeyed in it.
  const quoted = withoutCommands();
  log.write(quoted.begin);
  const { stdout, exitCode } = await runCli(cli, inputs.arguments, env, log);
  const { report, failure } = parseResult(stdout, exitCode);
  if (report) printReport(report, inputs, log);
  log.write(quoted.end);
  if (report) publish(report, env, log);
  if (failure) {
    const text = [failure.message, failure.hint].filter(Boolean).join('\n');
    log.write(annotation('error', 'debloat', printableLines(text)));
    if (!report) summarize(env, `### debloat failed\n\n${indented(text)}\n`);
  }
  return exitCode;
}

async function runCli(
  cli: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  log: NodeJS.WritableStream,
): Promise<{ stdout: string; exitCode: number }> {
  const child = execa(process.execPath, ['--', cli, ...args], {
    env,
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    buffer: { stderr: false },
  });
  child.stderr.pipe(log, { end: false });
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  try {
    const { stdout, exitCode } = await child;
    return { stdout, exitCode: exitCode ?? ExitCode.interrupted };
  } finally {
    process.off('SIGINT', forward).off('SIGTERM', forward);
  }
}

/** Stdout is the report (also if a budget was missed, which it then tells of), or the error as JSON. */
function parseResult(stdout: string, exitCode: number): { report?: Report; failure?: Failure } {
  const text = stdout.trimEnd();
  const lastLine = text.slice(text.lastIndexOf('\n') + 1);
  const failure = lastLine.startsWith('{"error":')
    ? (JSON.parse(lastLine) as { error: Failure }).error
    : undefined;
  const rest = failure ? text.slice(0, text.length - lastLine.length).trimEnd() : text;
  const report = rest === '' ? undefined : parseReport(rest, 'what debloat printed');
  if (exitCode === ExitCode.ok || failure) {
    return { ...(report && { report }), ...(failure && { failure }) };
  }
  const misses = report?.budgets?.misses ?? [];
  if (misses.length > 0)
    return {
      ...(report && { report }),
      failure: { message: `size budget missed: ${misses.join('; ')}` },
    };
  const silent = { message: `debloat ended with exit code ${exitCode}; the log says why` };
  return { ...(report && { report }), failure: silent };
}

function printReport(report: Report, inputs: ActionInputs, log: NodeJS.WritableStream): void {
  if (inputs.log === 'none') return;
  const text = inputs.log === 'json' ? serializeReport(report) : renderText(report, { width: 100 });
  log.write(`\n${text}`);
}

function publish(report: Report, env: NodeJS.ProcessEnv, log: NodeJS.WritableStream): void {
  summarize(env, renderMarkdown(report));
  // a missed budget is an error already
  for (const warning of warningsOf({ ...report, budgets: null })) {
    log.write(annotation('warning', 'debloat', printable(warning)));
  }
  const file = env['GITHUB_OUTPUT'];
  if (!file) return;
  writeOutputs(file, {
    image: report.result.targets[0] ?? '',
    digest: report.result.manifestDigest,
    overlay: report.overlay.file,
    'size-before': String(report.sizes.before.uncompressed),
    'size-after': String(report.sizes.after.uncompressed),
    report: report.outputDir === null ? '' : join(report.outputDir, reportFileName),
  });
}

function summarize(env: NodeJS.ProcessEnv, markdown: string): void {
  const file = env['GITHUB_STEP_SUMMARY'];
  if (file) appendFileSync(file, markdown);
}

function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

// An indented code block: nothing in it is Markdown.
function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `    ${printable(line)}`)
    .join('\n');
}
