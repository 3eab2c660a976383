import { Command } from 'commander';
import { toolVersion } from '../builder/provenance.js';
import { buildCommand } from './commands/build.js';
import { completionCommand } from './commands/completion.js';
import { doctorCommand } from './commands/doctor.js';
import { attachCommand } from './commands/attach.js';
import { detachCommand } from './commands/detach.js';
import { inspectCommand } from './commands/inspect.js';
import { sessionsCommand } from './commands/sessions.js';
import { reportCommand } from './commands/report.js';
import { restoreCommand } from './commands/restore.js';
import { serveCommand } from './commands/serve.js';
import { targetsCommand } from './commands/targets.js';
import { traceCommand } from './commands/trace.js';
import { applyConfig } from './config.js';
import { applySwitches } from './switches.js';

/** The whole command line. Errors of usage are thrown, not acted on. */
export function createProgram(): Command {
  const program = new Command('debloat')
    .description(
      'Cut container images to what their workload uses; keep every removed byte in an overlay.',
    )
    .version(toolVersion())
    .showSuggestionAfterError()
    .exitOverride()
    .hook('preAction', async (_, command) => {
      applySwitches(command);
      await applyConfig(command);
    });
  const commands = [
    buildCommand(),
    traceCommand(),
    restoreCommand(),
    reportCommand(),
    serveCommand(),
    inspectCommand(),
    targetsCommand(),
    attachCommand(),
    detachCommand(),
    sessionsCommand(),
    doctorCommand(),
  ];
  for (const command of commands) {
    const name = command.name();
    const words = name === 'attach' ? 'what is run there, and its options, come after --; ' : '';
    program.addCommand(
      command.exitOverride().showHelpAfterError(`(${words}see \`debloat ${name} --help\`)`),
    );
  }
  return program.addCommand(completionCommand(program).exitOverride());
}
