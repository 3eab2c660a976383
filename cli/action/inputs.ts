import { DebloatError, ExitCode } from '../../analyzer/errors.js';

const single = ['output-dir', 'overlay', 'policy', 'profile', 'runtime', 'max-size', 'min-savings'];
const lists = ['tag', 'http', 'tcp', 'exec', 'host-exec'];

export interface ActionInputs {
  /** Arguments of `debloat`; each is one argument, whatever it holds. */
  arguments: string[];
  /** Form of the report in the job's log. */
  log: 'text' | 'json' | 'none';
}

/** The action's inputs, as action.yml hands them over: INPUT_MAX_SIZE for `max-size`, empty if not given. */
export function readInputs(env: NodeJS.ProcessEnv): ActionInputs {
  const lines = (name: string): string[] =>
    (env[`INPUT_${name.replaceAll('-', '_').toUpperCase()}`] ?? '')
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
  const [image] = lines('image');
  if (image === undefined) throw usage('the input `image` is empty', 'name the image to debloat');
  const [log = 'text'] = lines('format');
  if (log !== 'text' && log !== 'json' && log !== 'none') {
    throw usage(`the input \`format\` is "${log}"`, 'use text, json or none');
  }
  return {
    // `--name=value` and `--`, so that no value is ever taken for an option
    arguments: [
      ...['build', '--format=json'],
      ...single.flatMap((name) => lines(name).map((value) => `--${name}=${value}`)),
      ...lists.flatMap((name) => lines(name).map((value) => `--${name}=${value}`)),
      ...lines('args'),
      ...['--', image],
    ],
    log,
  };
}

function usage(message: string, hint: string): DebloatError {
  return new DebloatError(message, { hint, exitCode: ExitCode.usage });
}
