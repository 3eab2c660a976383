import { randomBytes } from 'node:crypto';
import { DebloatError } from '../../analyzer/errors.js';
import { hasCapability } from '../hypervisor/index.js';
import { Refusal } from '../refusal.js';
import { converse, SessionNotStarted, type SessionEnd } from '../session/conversation.js';
import { environmentFor, shell } from '../session/shell.js';
import type { UserEnd } from '../session/user-end.js';
import type { ContainerTarget } from '../targets.js';
import { findOverlay, type Fetching, type OverlayFile } from './overlay-file.js';
import { requireFileSystem } from '../overlay-file-system.js';
import { whyNotStarted } from './mountable.js';
import { noteSession } from './record.js';
import { findContainer, type RunningContainer } from './running.js';
import { startStage2 } from './stage2.js';
import { userIn } from './user.js';

export interface ContainerSessionOptions extends Fetching {
  readonly target: ContainerTarget;
  /** The target as the user named it. */
  readonly named: string;
  /** What the session is called; a new name if none is given. */
  readonly id?: string | undefined;
  /** The overlay's file; else that of the container's image. */
  readonly overlay?: string | undefined;
  /** Empty: a shell of the original image. */
  readonly command: readonly string[];
  /** NAME=VALUE, over those of the container. */
  readonly environment: readonly string[];
  /** Where the command starts; else where the application did. */
  readonly directory?: string | undefined;
  /** "user[:group]"; else root. */
  readonly user?: string | undefined;
  /** The user's end, made when all has been checked. */
  readonly makeEnd: () => UserEnd;
  /** Told before the container is entered; the session does not begin if this fails. */
  readonly record: (facts: { overlay: string; command: readonly string[] }) => Promise<void>;
  readonly tell: (line: string) => void;
}

export interface ContainerSessionEnd extends SessionEnd {
  readonly id: string;
  readonly overlay: { readonly name: string; readonly digest: string };
}

/**
 * Run a command in a container, which sees the original image, to its end; nothing is left then.
 * Throws a DebloatError where it cannot be done, before anything was touched.
 */
export async function containerSession(
  options: ContainerSessionOptions,
): Promise<ContainerSessionEnd> {
  requirePrivileges();
  const container = await findContainer(options.target);
  const settings = settingsFor(container, options);
  const overlay = await findOverlay(container.image, options.overlay, options);
  try {
    requireFileSystem(overlay.name, overlay.path);
    if (!overlay.isProved) {
      options.tell(`${container.name} tells of no overlay: ${overlay.name} is used unchecked`);
    }
    await options.record({ overlay: overlay.digest, command: settings.command });
    const id = options.id ?? randomBytes(4).toString('hex');
    const forget = noteSession({ id, target: options.named, overlay: overlay.digest });
    const end = await run(overlay, settings, options.makeEnd()).finally(forget);
    return { ...end, id, overlay: { name: overlay.name, digest: overlay.digest } };
  } finally {
    overlay.close();
  }
}

function requirePrivileges(): void {
  const missing = (['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'] as const).filter(
    (name) => !hasCapability(name),
  );
  if (missing.length === 0) return;
  throw new Refusal(
    'privilege',
    `A container cannot be entered without ${missing.join(' and ')}.`,
    {
      hint: 'run as root',
    },
  );
}

function settingsFor(container: RunningContainer, options: ContainerSessionOptions) {
  const { pid } = container;
  const { command, environment, directory, user } = options;
  const who = user === undefined ? undefined : userIn(pid, user);
  return {
    command: command.length > 0 ? command : shell,
    environment: environmentFor(environment, {
      application: container.environment,
      ...(who && { home: who.home }),
    }),
    directory: directory ?? container.directory,
    container: pid,
    ...(who && { user: { uid: who.uid, gid: who.gid, groups: who.additionalGids } }),
  };
}

async function run(
  overlay: OverlayFile,
  settings: ReturnType<typeof settingsFor>,
  user: UserEnd,
): Promise<SessionEnd> {
  const stage2 = await startStage2();
  try {
    const whole = { ...settings, overlay: { file: overlay.path } };
    return await converse(stage2.channel, whole, user, {
      lost: () => new DebloatError('The session is lost: stage 2 was ended by somebody.'),
    });
  } catch (error) {
    throw error instanceof SessionNotStarted ? whyNotStarted(overlay, error) : error;
  } finally {
    await stage2.ended;
  }
}
