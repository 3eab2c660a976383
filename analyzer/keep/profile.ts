import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { DebloatError, ExitCode, messageOf } from '../errors.js';
import type { RunConfig } from '../image/types.js';
import type { RuleSet } from './rules.js';

const strings = z.array(z.string().min(1)).default([]);

/** A profile: how to exercise images of one kind, and what to keep of them (docs/profiles.md). */
export const profileSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
    /** Without it a profile is only used when asked for by --profile. */
    match: z
      .strictObject({
        images: strings.describe(
          'Repository names: "nginx" also means library/nginx, on any registry',
        ),
        programs: strings.describe('Base names of a program in ENTRYPOINT or CMD'),
      })
      .optional(),
    http: strings.describe('As --http takes them, with the port: "8080:/health"'),
    tcp: strings.describe('As --tcp takes them: "6379"'),
    exec: strings.describe('As --exec takes them: commands in the container'),
    hostExec: strings.describe('As --host-exec takes them: commands on this machine'),
    env: strings.describe('"NAME=value", for a variable that neither the image nor the user sets'),
    keep: strings.describe('As --keep takes them'),
    drop: strings.describe('As --drop takes them'),
    notes: z.string().optional(),
  })
  .meta({ title: 'debloat profile' });

export type Profile = z.infer<typeof profileSchema>;

/** Read and check a profile. Throws a DebloatError that names what is wrong with it. */
export async function readProfile(file: string): Promise<Profile> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new DebloatError(`The profile ${file} cannot be read: ${messageOf(error)}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
  const parsed = profileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new DebloatError(`The profile ${file} is not valid${where}: ${issue?.message ?? ''}`, {
    hint: 'docs/profiles.md describes the format.',
    exitCode: ExitCode.usage,
  });
}

/** The profiles that come with debloat, by name. */
export async function loadProfiles(dir = profileDirectory()): Promise<Profile[]> {
  const names = (await readdir(dir)).filter(
    (name) => name.endsWith('.json') && name !== 'schema.json',
  );
  return Promise.all(names.sort().map((name) => readProfile(join(dir, name))));
}

/**
 * The profile that fits an image, made fit to be used unasked, or undefined. One that fits by image
 * name (and program) is used whole. One that fits by the program alone knows nothing of how the image
 * is set up: of it only rules and probes of ports that the image declares with EXPOSE are used.
 */
export function matchProfile(
  profiles: readonly Profile[],
  config: RunConfig | undefined,
  reference: string,
): Profile | undefined {
  const programs = new Set(
    [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])].map((word) => basename(word)),
  );
  const repository = repositoryOf(reference);
  const runs = (profile: Profile): boolean =>
    profile.match?.programs.some((program) => programs.has(program)) === true;
  const byName = profiles.find(
    (profile) =>
      profile.match?.images.some((image) => isImage(repository, image)) === true &&
      (profile.match.programs.length === 0 || runs(profile)),
  );
  if (byName !== undefined) return byName;
  const byProgram = profiles.find(runs);
  if (byProgram === undefined) return undefined;
  const exposed = new Set(
    Object.keys(config?.ExposedPorts ?? {}).map((port) => port.split('/')[0]),
  );
  return {
    ...byProgram,
    http: byProgram.http.filter((probe) => exposed.has(/(?:^|\s)(\d+):/.exec(probe)?.[1])),
    tcp: byProgram.tcp.filter((port) => exposed.has(port)),
    exec: [],
    hostExec: [],
    env: [],
  };
}

/** A profile's --keep and --drop, with its name as their origin. */
export function profileRules(profile: Profile): RuleSet {
  return { origin: `profile ${profile.name}`, keep: profile.keep, drop: profile.drop };
}

/** "registry://localhost:5000/library/nginx:1@sha256:…" → "localhost:5000/library/nginx". */
function repositoryOf(reference: string): string {
  return reference
    .replace(/^[a-z-]+:\/\//, '')
    .replace(/@sha256:[0-9a-f]+$/, '')
    .replace(/:[^/:]*$/, '');
}

/** Whether `repository` is `image`, Docker Hub's official one or a mirror's of the same name. */
function isImage(repository: string, image: string): boolean {
  const parts = repository.split('/');
  const hasHost = parts.length > 1 && /[.:]|^localhost$/.test(parts[0] ?? '');
  const name = (hasHost ? parts.slice(1) : parts).join('/');
  return name === image || name === `library/${image}`;
}

/** `profiles/` of the package, whether this runs from its sources or from dist/. */
function profileDirectory(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = join(here, '..', '..');
  return join(basename(root) === 'dist' ? dirname(root) : root, 'profiles');
}
