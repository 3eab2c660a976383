import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import type { RegistryAccess } from '../../analyzer/transport/registry.js';

export interface Credentials {
  username: string;
  password: string;
  /** An OAuth2 refresh token instead of a password. */
  identityToken?: string | undefined;
}

const schema = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({ auth: z.string().optional(), identitytoken: z.string().optional() }),
    )
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

/**
 * The credentials for `registry`, from where skopeo and Docker have them (containers-auth.json(5),
 * docker-credential helpers); undefined if there are none, which is right for a public registry.
 */
export async function findCredentials(
  registry: string,
  { credentials, authFile }: RegistryAccess,
): Promise<Credentials | undefined> {
  if (credentials) return credentials;
  for (const file of authFile === undefined ? authFiles() : [authFile]) {
    const found = existsSync(file) ? await fromFile(file, registry) : undefined;
    if (found) return found;
  }
  return undefined;
}

function authFiles(): string[] {
  const { REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, DOCKER_CONFIG } = process.env;
  if (REGISTRY_AUTH_FILE !== undefined) return [REGISTRY_AUTH_FILE];
  const docker = join(DOCKER_CONFIG ?? join(homedir(), '.docker'), 'config.json');
  const runtime = XDG_RUNTIME_DIR ?? `/run/user/${process.getuid?.() ?? 0}`;
  return [
    ...(DOCKER_CONFIG === undefined ? [] : [docker]),
    join(runtime, 'containers', 'auth.json'),
    join('/run/containers', String(process.getuid?.() ?? 0), 'auth.json'),
    join(homedir(), '.config', 'containers', 'auth.json'),
    docker,
  ];
}

async function fromFile(file: string, registry: string): Promise<Credentials | undefined> {
  const parsed = schema.safeParse(JSON.parse(await readFile(file, 'utf8')));
  if (!parsed.success) return undefined;
  const { auths = {}, credHelpers = {}, credsStore } = parsed.data;
  const keys =
    registry === 'docker.io'
      ? ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']
      : [registry, `https://${registry}`, `http://${registry}`];
  for (const key of keys) {
    const helper = credHelpers[key] ?? (key in auths ? credsStore : undefined);
    const found = helper === undefined ? fromAuth(auths[key]) : await fromHelper(helper, key);
    if (found) return found;
  }
  return undefined;
}

function fromAuth(
  entry: { auth?: string | undefined; identitytoken?: string | undefined } | undefined,
): Credentials | undefined {
  if (entry?.auth === undefined) return undefined;
  const text = Buffer.from(entry.auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return {
    username: text.slice(0, colon),
    password: text.slice(colon + 1),
    identityToken: entry.identitytoken,
  };
}

const helperAnswer = z.object({ Username: z.string(), Secret: z.string() });

async function fromHelper(helper: string, key: string): Promise<Credentials | undefined> {
  const { stdout, failed } = await execa(`docker-credential-${helper}`, ['get'], {
    input: key,
    reject: false,
  });
  if (failed) return undefined;
  const answer = helperAnswer.safeParse(JSON.parse(stdout));
  if (!answer.success) return undefined;
  const { Username: username, Secret: password } = answer.data;
  return username === '<token>'
    ? { username, password: '', identityToken: password }
    : { username, password };
}
