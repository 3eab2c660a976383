import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { failedWith } from '../../native/linux/system-error.js';

/** An open descriptor of a process, and what its link says. */
export interface OpenFile {
  fd: number;
  target: string;
}

/** What a thread is doing. */
export interface ThreadState {
  tid: number;
  /** Number and arguments of the system call it is blocked in; undefined while it runs. */
  call: { number: number; arguments: [number, number] } | undefined;
  /** Letter of /proc/PID/stat: R, S, D, T (stopped), t (traced), Z. */
  state: string;
  /** PF_* flags (include/linux/sched.h). */
  flags: number;
}

/** The name a program is known by: the file it was started from, without its directory. */
export function programName(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
      .replace(/ \(deleted\)$/, '')
      .replace(/^.*\//, '');
  } catch {
    return orElse('', () => readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
  }
}

export function commandLine(pid: number): string[] {
  return orElse('', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
    .split('\0')
    .slice(0, -1);
}

/** What relative paths on its command line are relative to, unless it has changed its directory since; / where that cannot be told. */
export function workingDirectory(pid: number): string {
  return orElse('/', () => readlinkSync(`/proc/${pid}/cwd`));
}

/** Ids of all processes there are. */
export function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Open descriptors of a process. Throws as node:fs does: EACCES for want of privilege, ENOENT if it has ended. */
export function openFiles(pid: number): OpenFile[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory)
    .flatMap((name) => {
      try {
        return [{ fd: Number(name), target: readlinkSync(`${directory}/${name}`) }];
      } catch (error) {
        // Our own user's processes can be listed without the privilege to follow the links.
        if (!failedWith(error, 'ENOENT')) throw error;
        return []; // closed meanwhile
      }
    })
    .sort((a, b) => a.fd - b.fd);
}

/** The device and inode of an open file, as /proc/PID/maps writes them. */
export function fileIdentity(path: string): { device: string; inode: number } | undefined {
  return orElse(undefined, () => {
    const { dev, ino } = statSync(path);
    // Linux' encoding of device numbers for user space (include/linux/kdev_t.h: new_encode_dev).
    const major = (dev >> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
    const hex = (value: number) => value.toString(16).padStart(2, '0');
    return { device: `${hex(major)}:${hex(minor)}`, inode: ino };
  });
}

/** The threads of a process; those that end meanwhile are left out. */
export function threads(pid: number): ThreadState[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((name) => {
    const directory = `/proc/${pid}/task/${name}`;
    return orElse([], () => [
      {
        tid: Number(name),
        ...parseStat(readFileSync(`${directory}/stat`, 'utf8')),
        call: parseCall(readFileSync(`${directory}/syscall`, 'utf8')),
      },
    ]);
  });
}

/** The system call that a thread is blocked in; undefined while it runs, or if there is none of this id. */
export function callOf(pid: number, tid: number): ThreadState['call'] {
  return orElse(undefined, () =>
    parseCall(readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'utf8')),
  );
}

export function parseStat(stat: string): { state: string; flags: number } {
  // The name before them may hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', flags: Number(fields[6] ?? 0) };
}

export function parseCall(line: string): ThreadState['call'] {
  const fields = line.trim().split(' ');
  if (!/^\d+$/.test(fields[0] ?? '')) return undefined;
  const [number = 0, first = 0, second = 0] = fields.map(Number);
  return { number, arguments: [first, second] };
}

/** A line of /proc/PID/status or of a thread's, without its name. */
export function statusField(directory: string, name: string): string | undefined {
  return orElse(undefined, () => {
    const lines = readFileSync(`${directory}/status`, 'utf8').split('\n');
    return lines
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  });
}

/** `read()`, or `otherwise` if the process or thread has ended or hides it. */
function orElse<T, U>(otherwise: U, read: () => T): T | U {
  try {
    return read();
  } catch (error) {
    if (failedWith(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'EINVAL')) return otherwise;
    throw error;
  }
}
