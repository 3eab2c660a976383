import { Command } from 'commander';
import pc from 'picocolors';
import { ExitCode } from '../../analyzer/errors.js';
import { surveyRuntimes } from '../../analyzer/runtime/select.js';
import { sensorPath } from '../../native/sensor.js';
import { messageOf } from '../../analyzer/errors.js';
import type { Check } from '../doctor/check.js';
import { checkLeftovers, checkSessions } from '../doctor/leftovers.js';
import { checkMachine } from '../doctor/machine.js';
import { checkTools } from '../doctor/tools.js';
import { addCommonOptions, option, type CommonOptions } from '../options.js';

/** `debloat doctor`: what this machine can and cannot do, and how to fix it. */
export function doctorCommand(): Command {
  return addCommonOptions(new Command('doctor'))
    .description('say what this machine can and cannot do, and how to fix it')
    .addOption(option('--fix', 'remove what killed runs left behind'))
    .action(async (options: CommonOptions & { fix?: boolean }) => {
      const checks = [
        ...(await checkMachine()),
        checkSensor(),
        ...(await checkTools()),
        ...(await checkRuntimes()),
        await checkLeftovers(options.fix ?? false),
        await checkSessions(options.fix ?? false),
      ];
      const failed = checks.some((check) => check.status === 'failed');
      process.stdout.write(
        options.format === 'json'
          ? `${JSON.stringify({ ok: !failed, checks }, undefined, 2)}\n`
          : renderChecks(checks),
      );
      if (failed) process.exitCode = ExitCode.failure;
    });
}

function checkSensor(): Check {
  try {
    return { name: 'sensor', status: 'ok', detail: sensorPath(process.arch) };
  } catch (error) {
    return { name: 'sensor', status: 'failed', detail: messageOf(error), fix: 'npm run build' };
  }
}

async function checkRuntimes(): Promise<Check[]> {
  const survey = await surveyRuntimes();
  const some = survey.some((runtime) => runtime.available);
  return survey.map((runtime) =>
    runtime.available
      ? { name: runtime.name, status: 'ok', detail: runtime.description }
      : {
          name: runtime.name,
          status: some ? 'limited' : 'failed',
          detail: runtime.reason,
          ...(runtime.hint !== undefined && { fix: runtime.hint }),
        },
  );
}

function renderChecks(checks: Check[]): string {
  const marks = { ok: pc.green('✔'), limited: pc.yellow('!'), failed: pc.red('✘') };
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines = checks.flatMap(({ name, status, detail, fix }) => [
    `${marks[status]} ${name.padEnd(width)}  ${detail}`,
    ...(fix === undefined ? [] : [`  ${' '.repeat(width)}  ${pc.cyan('fix:')} ${fix}`]),
  ]);
  return `${lines.join('\n')}\n`;
}
