import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { ImageName } from '../../analyzer/transport/reference.js';
import { findCredentials, type Credentials } from './credentials.js';
import type { RegistryAccess } from '../../analyzer/transport/registry.js';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

interface Request {
  method: string;
  headers?: Record<string, string>;
  body?: Buffer;
}

/**
 * The few calls of the registry API (OCI distribution spec) that skopeo has no command for. It logs
 * in as skopeo would, and trusts the same certificates.
 */
export class RegistryApi {
  readonly #name: ImageName;
  readonly #credentials: Credentials | undefined;
  readonly #isSecure: boolean;
  readonly #ca: string[] | undefined;
  readonly #signal: AbortSignal | undefined;
  #authorization: string | undefined;

  private constructor(
    name: ImageName,
    how: {
      credentials: Credentials | undefined;
      isSecure: boolean;
      ca: string[] | undefined;
      signal: AbortSignal | undefined;
    },
  ) {
    this.#name = name;
    this.#credentials = how.credentials;
    this.#isSecure = how.isSecure;
    this.#ca = how.ca;
    this.#signal = how.signal;
  }

  static async open(
    name: ImageName,
    options: RegistryAccess & { isSecure: boolean; signal?: AbortSignal | undefined },
  ): Promise<RegistryApi> {
    return new RegistryApi(name, {
      credentials: await findCredentials(name.registry, options),
      isSecure: options.isSecure,
      ca: await certificatesFor(name.registry),
      signal: options.signal,
    });
  }

  /** Store a manifest or index under a tag or digest, byte for byte. */
  async putManifest(reference: string, mediaType: string, body: Buffer): Promise<void> {
    const answer = await this.#call(`manifests/${reference}`, {
      method: 'PUT',
      headers: { 'content-type': mediaType, 'content-length': String(body.length) },
      body,
    });
    if (answer.status >= 300) throw this.#refusal(`does not take ${reference}`, answer);
  }

  /** The referrers of `digest` as the registry itself lists them; undefined if it keeps no such list. */
  async referrers(digest: string): Promise<Buffer | undefined> {
    const answer = await this.#call(`referrers/${digest}`, { method: 'GET' });
    if (answer.status === 200) return answer.body;
    if (answer.status === 404 || answer.status === 405) return undefined;
    throw this.#refusal(`does not list what refers to ${digest}`, answer);
  }

  async #call(path: string, request: Request): Promise<Answer> {
    const url = `/v2/${this.#name.repository}/${path}`;
    const answer = await this.#send(url, request);
    const challenge = answer.headers['www-authenticate'];
    if (answer.status !== 401 || challenge === undefined) return answer;
    this.#authorization = await this.#answerTo(challenge);
    return this.#send(url, request);
  }

  async #answerTo(challenge: string): Promise<string | undefined> {
    const credentials = this.#credentials;
    const basic =
      credentials &&
      `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
    if (!/^bearer/i.test(challenge)) return basic;
    const fields = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
    );
    const url = new URL(fields.get('realm') ?? '');
    const query = new URLSearchParams({
      service: fields.get('service') ?? '',
      scope: `repository:${this.#name.repository}:pull,push`,
    });
    const token = credentials?.identityToken;
    if (token === undefined) url.search = query.toString();
    else query.append('grant_type', 'refresh_token');
    if (token !== undefined) query.append('refresh_token', token);
    const answer = await send(url, {
      method: token === undefined ? 'GET' : 'POST',
      headers: {
        ...(token === undefined && basic !== undefined && { authorization: basic }),
        ...(token !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(token !== undefined && { body: Buffer.from(query.toString()) }),
      ...this.#connection(),
    });
    if (answer.status !== 200) throw this.#refusal('refuses access', answer);
    const body = JSON.parse(answer.body.toString('utf8')) as Record<string, string | undefined>;
    return `Bearer ${body['token'] ?? body['access_token'] ?? ''}`;
  }

  async #send(path: string, request: Request): Promise<Answer> {
    const host = this.#name.registry === 'docker.io' ? 'registry-1.docker.io' : this.#name.registry;
    const headers = {
      accept: 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json',
      ...request.headers,
      ...(this.#authorization !== undefined && { authorization: this.#authorization }),
    };
    const full = { ...request, headers, ...this.#connection() };
    try {
      return await send(new URL(`https://${host}${path}`), full);
    } catch (error) {
      this.#signal?.throwIfAborted();
      // as skopeo does where plain HTTP is allowed
      if (!this.#isSecure) return send(new URL(`http://${host}${path}`), full);
      throw new DebloatError(`the registry ${host} cannot be reached: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #connection(): Connection {
    return { isSecure: this.#isSecure, ca: this.#ca, signal: this.#signal };
  }

  #refusal(what: string, { status, body }: Answer): DebloatError {
    const { registry, repository } = this.#name;
    return new DebloatError(
      `the registry of ${registry}/${repository} ${what} (status ${status})`,
      {
        ...(status < 500 && {
          hint: 'log in (docker login HOST, or skopeo login HOST) with an account that may push',
        }),
        cause: new Error(body.toString('utf8').slice(0, 500)),
      },
    );
  }
}

interface Connection {
  isSecure: boolean;
  ca: string[] | undefined;
  signal: AbortSignal | undefined;
}

const timeout = 60_000;

function send(
  url: URL,
  { body, isSecure, ca, signal, ...request }: Request & Connection,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { ...request, timeout, ...(signal && { signal }) };
    const tls = { rejectUnauthorized: isSecure, ...(ca && { ca }) };
    const sent =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, ...tls })
        : httpRequest(url, options);
    sent.on('error', reject);
    sent.on('timeout', () => sent.destroy(new Error('no answer within a minute')));
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks) });
      });
    });
    sent.end(body);
  });
}

/** Certificates of the user's own registries, beside the usual ones (containers-certs.d(5)). */
async function certificatesFor(registry: string): Promise<string[] | undefined> {
  const own: string[] = [];
  for (const base of [
    join(homedir(), '.config/containers/certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ]) {
    const dir = join(base, registry);
    if (!existsSync(dir)) continue;
    for (const name of await readdir(dir)) {
      if (name.endsWith('.crt')) own.push(await readFile(join(dir, name), 'utf8'));
    }
  }
  return own.length === 0 ? undefined : [...rootCertificates, ...own];
}
