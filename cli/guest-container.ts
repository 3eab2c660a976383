import { InvalidArgumentError } from 'commander';

/** Parse the value of `--container`: digits alone are a process of the guest, else it is a container's name or ID. */
export function guestContainer(value: string): number | string {
  if (/^\d+$/.test(value)) {
    const pid = Number(value);
    if (pid >= 1 && pid < 2 ** 31) return pid;
  } else if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(value)) {
    return value;
  }
  throw new InvalidArgumentError('must be a process id, or a container’s name or ID.');
}
