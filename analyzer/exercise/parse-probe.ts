import { DebloatError, ExitCode } from '../errors.js';
import type { ContinueAfter, Probe } from './types.js';

/** `[METHOD ][PORT:]/path[ STATUS]`, e.g. "/", "8080:/health", "POST /login 2xx", "/old 301-302". */
export function parseHttpProbe(text: string): Probe {
  const match =
    /^(?:([A-Z]+)\s+)?(?:(\d{1,5}):)?(\/\S*)(?:\s+([1-5][\dx]{2}(?:-[1-5][\dx]{2})?))?$/.exec(
      text.trim(),
    );
  if (!match) throw usage('--http', text, '/ or 8080:/health or "POST /login 2xx"');
  const [, method, port, path = '/', expect] = match;
  return {
    kind: 'http',
    path,
    ...(port !== undefined && { port: portNumber(port, '--http') }),
    ...(method !== undefined && { method }),
    ...(expect !== undefined && { expect }),
  };
}

function parseTcpProbe(text: string): Probe {
  return { kind: 'tcp', port: portNumber(text.trim(), '--tcp') };
}

function parseExecProbe(text: string): Probe {
  return { kind: 'exec', command: nonEmpty(text, '--exec') };
}

function parseHostExecProbe(text: string): Probe {
  return { kind: 'host-exec', command: nonEmpty(text, '--host-exec') };
}

/** Probes as the command line and profiles give them: four lists of strings. */
export function probesFrom(lists: {
  http?: readonly string[] | undefined;
  tcp?: readonly string[] | undefined;
  exec?: readonly string[] | undefined;
  hostExec?: readonly string[] | undefined;
}): Probe[] {
  return [
    ...(lists.http ?? []).map(parseHttpProbe),
    ...(lists.tcp ?? []).map(parseTcpProbe),
    ...(lists.exec ?? []).map(parseExecProbe),
    ...(lists.hostExec ?? []).map(parseHostExecProbe),
  ];
}

/** "probes", "signal", or seconds ("30", "1.5", "30s"). */
export function parseContinueAfter(text: string): ContinueAfter {
  if (text === 'probes' || text === 'signal') return { kind: text };
  const match = /^(\d+(?:\.\d+)?)s?$/.exec(text);
  if (!match) throw usage('--continue-after', text, 'probes, signal or a number of seconds');
  return { kind: 'seconds', seconds: Number(match[1]) };
}

/** Whether `status` is in a range such as "200", "2xx", "200-399" or "2xx-3xx"; below 500 if none is given. */
export function statusIsExpected(status: number, expect?: string): boolean {
  if (expect === undefined) return status < 500;
  const [low = '', high = low] = expect.split('-');
  return status >= Number(low.replaceAll('x', '0')) && status <= Number(high.replaceAll('x', '9'));
}

function portNumber(text: string, option: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw usage(option, text, 'a port from 1 to 65535');
  return port;
}

function nonEmpty(text: string, option: string): string {
  if (text.trim() === '') throw usage(option, text, 'a command');
  return text;
}

function usage(option: string, text: string, wanted: string): DebloatError {
  return new DebloatError(`${option} '${text}' is not understood`, {
    hint: `give ${wanted}`,
    exitCode: ExitCode.usage,
  });
}
