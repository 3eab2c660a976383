import { DebloatError, ExitCode } from '../analyzer/errors.js';
import { defaultCacheDirectory } from '../attacher/guest/index.js';
import { vmSession } from '../attacher/session/vm-session.js';
import { abortOnSignals } from './interrupt.js';
import { UserSession, type SessionArguments } from './user-session.js';

/** Options of `debloat attach` for a session in a virtual machine. */
export interface VmSessionArguments extends SessionArguments {
  gdb?: string;
  qmp?: string;
  container?: number | string;
  modules?: string;
}

/** `debloat attach VM -- COMMAND` and `--exec`: the command's exit code is ours. */
export async function attachToVm(
  pid: number,
  named: string,
  words: readonly string[],
  options: VmSessionArguments,
): Promise<void> {
  const session = new UserSession(named, words, options);
  const { command, environment, tell, record } = session;
  const user = options.user === undefined ? undefined : userOf(options.user);
  const signal = abortOnSignals();
  const end = await vmSession({
    ...{ pid, signal, record, command, environment, user, log: tell },
    ...{ overlay: options.overlay, gdb: options.gdb, qmp: options.qmp, id: options.session },
    ...{ directory: options.cwd, container: options.container, modules: options.modules },
    makeEnd: () => session.makeEnd(signal),
    cacheDirectory: defaultCacheDirectory(),
  });
  const { id, backend, disk, overlay, milliseconds } = end;
  session.finish(end, { overlay, session: id, backend, disk, milliseconds });
  const { prepare, stopped, guest, total } = milliseconds;
  tell(
    `session ${id} by ${backend}, ${diskWays[disk]}: prepared in ${prepare.toFixed(0)} ms, ${guest.toFixed(0)} ms in the guest, ` +
      `ready after ${total.toFixed(0)} ms; the machine stood ${stopped.toFixed(1)} ms in all`,
  );
}

const diskWays = {
  'vhost-user': 'its disk served by debloat (vhost-user)',
  file: 'its disk a file that the hypervisor opened',
  'virtio-mmio': 'its disk served by debloat (virtio-mmio)',
} as const;

/** "UID" or "UID:GID". */
function userOf(text: string): { uid: number; gid: number } {
  const [, uid, gid = uid] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (uid !== undefined && Math.max(Number(uid), Number(gid)) < 2 ** 32) {
    return { uid: Number(uid), gid: Number(gid) };
  }
  throw new DebloatError(`"${text}" is no user of a virtual machine`, {
    hint: 'give UID or UID:GID, as numbers',
    exitCode: ExitCode.usage,
  });
}
