import { DebloatError, messageOf } from '../../errors.js';

/** What an engine's refusal of a request means for the user; `doing` is as in "cannot <doing>". */
export function engineFailure(doing: string, error: unknown): DebloatError {
  if (error instanceof DebloatError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    return new DebloatError(`interrupted while trying to ${doing}`, { cause: error });
  }
  if (isConnectionLost(error)) {
    return new DebloatError(`the container engine went away while trying to ${doing}`, {
      hint: 'start the engine again, or use --runtime runc',
      cause: error,
    });
  }
  const message = engineMessage(error);
  const port =
    /(?:Bind for|listen tcp4?6?) \S*?:(\d+)\b.*(?:already allocated|already in use)/.exec(message);
  if (port) {
    return new DebloatError(`port ${port[1] ?? ''} of --publish is already in use`, {
      hint: 'stop what listens there, or publish another port',
      cause: error,
    });
  }
  if (statusOf(error) === 404 && /no such container/i.test(message)) {
    return new DebloatError(`the container was removed by someone else; cannot ${doing}`, {
      hint: 'leave containers labelled dev.debloat.workspace alone while debloat runs',
      cause: error,
    });
  }
  return new DebloatError(`cannot ${doing}: ${message}`, { cause: error });
}

/** Await `promise`; a rejection becomes an {@link engineFailure}. */
export async function engineRequest<T>(doing: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw engineFailure(doing, error);
  }
}

/** HTTP status of an engine's answer, if it came to an answer. */
export function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number } | undefined)?.statusCode;
}

// The library puts status and reason around the engine's own words.
function engineMessage(error: unknown): string {
  const json = (error as { json?: { message?: unknown } | null } | undefined)?.json;
  return typeof json?.message === 'string' ? json.message.trim() : messageOf(error).trim();
}

function isConnectionLost(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  return [
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ENOENT',
    'ERR_STREAM_PREMATURE_CLOSE',
    'ETIMEDOUT',
    'EHOSTUNREACH',
  ].includes(code);
}
