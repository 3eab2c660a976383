import { randomBytes } from 'node:crypto';
import { DebloatError } from '../../analyzer/errors.js';
import type { SessionSettings } from '../guest/session-frames.js';
import { Refusal } from '../refusal.js';
import type { OpenRequest, OpenSession, OpenTimes } from './backend.js';
import { converse, type SessionEnd } from './conversation.js';
import { openByStub } from './gdb-backend.js';
import { openByKvm } from './kvm-backend.js';
import { polledChannel } from './polled-channel.js';
import type { UserEnd } from './user-end.js';
import { overlayOf } from './vm-overlay.js';
import { waysInto, type WaysAsked } from './ways-in.js';

export interface VmSessionOptions extends WaysAsked {
  /** The hypervisor's process. */
  pid: number;
  /** The overlay's image file; else that of the image which the machine was built from. */
  overlay?: string | undefined;
  settings: Omit<SessionSettings, 'overlay' | 'terminal'>;
  user: UserEnd;
  cacheDirectory: string | undefined;
  /** What the session is called; a new name if none is given. */
  id?: string | undefined;
  log: (line: string) => void;
}

export interface VmSessionEnd extends SessionEnd {
  id: string;
  /** The way that was taken into the machine. */
  backend: string;
  /** `stopped` is of the whole session. */
  milliseconds: OpenTimes;
}

/**
 * Run a command in a virtual machine, which sees the original image, to its end; nothing is left
 * then. Throws DebloatError where it cannot be done, with the reason of each way that was refused.
 */
export async function vmSession(options: VmSessionOptions): Promise<VmSessionEnd> {
  const { pid, settings, user, log } = options;
  const overlay = await overlayOf(pid, options.overlay);
  const id = options.id ?? randomBytes(4).toString('hex');
  const request = { pid, id, image: overlay.path, cacheDirectory: options.cacheDirectory, log };
  const session = await open(request, options);
  let end: SessionEnd;
  try {
    const channel = polledChannel(session.channel, session.isAlive);
    const whole = { ...settings, overlay: { serial: session.serial } };
    end = await converse(channel, whole, user, () =>
      session.isAlive()
        ? new DebloatError('The session is lost: it ended without a word.')
        : new DebloatError(
            'The session is lost: the guest was started anew, or its machine has ended.',
          ),
    );
  } catch (error) {
    await session.close().catch((problem: unknown) => log(String(problem)));
    throw error;
  }
  const stopped = await session.close();
  return {
    ...{ ...end, id, backend: session.backend },
    milliseconds: { ...session.times, stopped },
  };
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
