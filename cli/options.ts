import { InvalidArgumentError, Option, type Command } from 'commander';

/** An option of ours: every one can also be set by a DEBLOAT_* environment variable. */
export function option(flags: string, description: string): Option {
  const made = new Option(flags, description);
  return made.env(`DEBLOAT_${made.name().replace(/^no-/, '').replaceAll('-', '_').toUpperCase()}`);
}

/** An option that may be given several times; a value from the environment is split at newlines. */
export function listOption(flags: string, description: string): Option {
  return option(flags, description)
    .argParser((value: string, previous: string[] | undefined) => [
      ...(previous ?? []),
      ...value.split('\n').filter(Boolean),
    ])
    .default(undefined);
}

/** Parse a whole number that is at least `least`. */
export function wholeNumber(least: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < least) {
      throw new InvalidArgumentError(`must be a whole number, ${least} or more.`);
    }
    return number;
  };
}

/** Options of every command. */
export function addCommonOptions(command: Command): Command {
  return command
    .addOption(
      option('--format <format>', 'form of the result on stdout')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addOption(option('--quiet', 'no progress on stderr'))
    .addOption(option('--debug', 'print stack traces and details of failures'));
}

export interface CommonOptions {
  format: 'text' | 'json';
  quiet?: boolean;
  debug?: boolean;
}

/** Options of the commands that read an image. */
export function addSourceOptions(command: Command): Command {
  return command
    .addOption(
      option(
        '--platform <os/arch>',
        'platform to take from a multi-platform image (default: this machine’s)',
      ),
    )
    .addOption(
      option(
        '--insecure',
        'talk to registries over HTTP or unverified TLS (loopback ones always may)',
      ),
    )
    .addOption(
      option(
        '--authfile <file>',
        'registry credentials (default: what `docker login` and `skopeo login` wrote)',
      ),
    );
}

export interface SourceOptions {
  platform?: string;
  insecure?: boolean;
  authfile?: string;
}

/** Options of the commands that run the workload. */
export function addRunOptions(command: Command): Command {
  return command
    .addOption(
      option('--runtime <name>', 'what runs the workload').choices([
        'docker',
        'podman',
        'runc',
        'crun',
      ]),
    )
    .addOption(listOption('-e, --env <name=value>', 'environment variable for the workload'))
    .addOption(
      listOption('--env-file <file>', 'file of environment variables, one NAME=value a line'),
    )
    .addOption(listOption('--mount <spec>', 'mount, as `docker run --mount` takes it'))
    .addOption(option('--network <name>', 'network of the engine, `host` or `none`'))
    .addOption(
      listOption('-p, --publish <spec>', 'publish a port, as `docker run --publish` takes it'),
    )
    .addOption(option('-u, --user <user>', 'user (and group) to run as'))
    .addOption(
      option(
        '--entrypoint <command>',
        'replaces the image’s entrypoint (a JSON array, or one word)',
      ),
    )
    .addOption(option('--cmd <command>', 'replaces the image’s cmd (a JSON array, or words)'))
    .addOption(listOption('--http <probe>', 'request, e.g. `/`, `8080:/health`, `POST /login 2xx`'))
    .addOption(listOption('--tcp <port>', 'connect to a port'))
    .addOption(listOption('--exec <command>', 'run a command in the container'))
    .addOption(
      listOption(
        '--host-exec <command>',
        'run a command here, e.g. a test suite; sees DEBLOAT_CONTAINER, DEBLOAT_HOST, DEBLOAT_PORT_<port>',
      ),
    )
    .addOption(
      option(
        '--continue-after <when>',
        'when a run is over: `probes`, `signal` (SIGUSR1), or seconds',
      ).default('probes'),
    )
    .addOption(
      option('--runs <number>', 'run the workload so often and merge the traces')
        .argParser(wholeNumber(1))
        .default(1),
    )
    .addOption(
      option('--timeout <seconds>', 'for becoming ready, and for each probe')
        .argParser(wholeNumber(1))
        .default(120),
    )
    .addOption(
      option(
        '--profile <file>',
        'how to exercise the image and what to keep (default: the built-in one that fits)',
      ),
    )
    .addOption(new Option('--no-profile', 'do not use a built-in profile'));
}

export interface RunCommandOptions {
  runtime?: string;
  env?: string[];
  envFile?: string[];
  mount?: string[];
  network?: string;
  publish?: string[];
  user?: string;
  entrypoint?: string;
  cmd?: string;
  http?: string[];
  tcp?: string[];
  exec?: string[];
  hostExec?: string[];
  continueAfter: string;
  runs: number;
  timeout: number;
  profile?: string | false;
}
