import { randomBytes } from 'node:crypto';
import { DebloatError, messageOf } from '../../analyzer/errors.js';
import type { SessionSettings } from '../guest/session-frames.js';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { NoProcess, Refusal } from '../refusal.js';
import type { OpenRequest, OpenSession, OpenTimes } from './backend.js';
import { converse, type SessionEnd } from './conversation.js';
import { openByStub } from './gdb-backend.js';
import { openByKvm } from './kvm-backend.js';
import { polledChannel } from './polled-channel.js';
import { environmentFor, shell } from './shell.js';
import type { UserEnd } from './user-end.js';
import { overlayOf } from './vm-overlay.js';
import { waysInto, type WaysAsked } from './ways-in.js';

export interface VmSessionOptions extends WaysAsked {
  /** The hypervisor's process. */
  pid: number;
  /** The overlay's image file; else that of the image which the machine was built from. */
  overlay?: string | undefined;
  /** Empty: a shell. */
  command: readonly string[];
  /** NAME=VALUE, over the least that programs expect. */
  environment: readonly string[];
  /** Where the command starts; else /. */
  directory?: string | undefined;
  /** By numbers; else root. */
  user?: { uid: number; gid: number } | undefined;
  /** A process of the guest whose namespaces are joined, or a container's name. */
  container?: number | string | undefined;
  /** The user's end, made when the session is open. */
  makeEnd: () => UserEnd;
  /** Told before the machine is touched; the session does not begin if this fails. */
  record: (facts: { overlay: string; command: readonly string[] }) => Promise<void>;
  /** Aborts the opening, and the session until the user's signals go to the command. */
  signal: AbortSignal;
  cacheDirectory: string | undefined;
  /** A directory of kernel modules for the guest, where it lacks drivers. */
  modules?: string | undefined;
  /** What the session is called; a new name if none is given. */
  id?: string | undefined;
  log: (line: string) => void;
}

export interface VmSessionEnd extends SessionEnd {
  id: string;
  /** The way that was taken into the machine. */
  backend: string;
  /** How the guest had the overlay's disk. */
  disk: OpenSession['disk'];
  /** Its digest. */
  overlay: string;
  /** `stopped` is of the whole session. */
  milliseconds: OpenTimes;
}

/**
 * Run a command in a virtual machine, which sees the original image, to its end; nothing is left
 * then. Throws DebloatError where it cannot be done, with the reason of each way that was refused.
 */
export async function vmSession(options: VmSessionOptions): Promise<VmSessionEnd> {
  const { pid, log, signal } = options;
  if (startTimeOf(pid) === undefined) throw new NoProcess(pid);
  const overlay = await overlayOf(pid, options.overlay);
  if (!overlay.isProved) {
    log(`process ${pid} tells of no overlay: ${overlay.path} is used unchecked`);
  }
  const command = options.command.length > 0 ? options.command : shell;
  await options.record({ overlay: overlay.digest, command });
  signal.throwIfAborted();
  const id = options.id ?? randomBytes(4).toString('hex');
  const { cacheDirectory, modules } = options;
  const request = { pid, id, image: overlay.path, cacheDirectory, modules, log };
  const session = await open(request, options);
  let end: SessionEnd;
  try {
    const channel = polledChannel(session.channel, session.isAlive);
    end = await converse(channel, settingsFor(options, command, session), options.makeEnd(), {
      lost: () => lost(session),
      signal,
    });
  } catch (error) {
    await session.close().catch((problem: unknown) => log(messageOf(problem)));
    throw error;
  }
  const stopped = await session.close();
  return {
    ...{ ...end, id, backend: session.backend, disk: session.disk, overlay: overlay.digest },
    milliseconds: { ...session.times, stopped },
  };
}

function settingsFor(
  { environment, directory, user, container }: VmSessionOptions,
  command: readonly string[],
  { serial, modules }: OpenSession,
): Omit<SessionSettings, 'terminal'> {
  return {
    ...{ command, environment: environmentFor(environment), overlay: { serial }, modules },
    ...(directory === undefined ? {} : { directory }),
    ...(user === undefined ? {} : { user }),
    ...(container === undefined ? {} : { container }),
  };
}

function lost(session: OpenSession): DebloatError {
  return new DebloatError(
    session.isAlive()
      ? 'The session is lost: it ended without a word.'
      : 'The session is lost: the guest was started anew, or its machine has ended.',
  );
}

interface Backend {
  name: string;
  open: () => Promise<OpenSession>;
}

/** By the first way that is not refused, in this order. */
async function open(request: OpenRequest, asked: WaysAsked): Promise<OpenSession> {
  const kvm: Backend = { name: 'KVM', open: () => openByKvm(request) };
  const stub: Backend = {
    name: 'gdb stub',
    open: () => openByStub(request, waysInto(request.pid, asked)),
  };
  // Who names a stub wants it.
  const backends = asked.gdb === undefined ? [kvm, stub] : [stub];
  const refusals: Refusal[] = [];
  for (const backend of backends) {
    try {
      return await backend.open();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusals.push(error);
      // Another way in would find the same.
      if (['privilege', 'confidential', 'paused'].includes(error.reason)) break;
    }
  }
  const reasons = refusals.map(({ message }, n) => `${backends[n]?.name ?? ''}: ${message}`);
  const hint = refusals.at(-1)?.hint;
  throw new DebloatError(
    `There is no way into the virtual machine ${request.pid}: ${reasons.join('; ')}.`,
    {
      ...(hint === undefined ? {} : { hint }),
      cause: refusals[0],
    },
  );
}
