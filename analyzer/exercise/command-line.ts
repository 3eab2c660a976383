/** Arguments for a command of the user's: run as it is where it is plain words, else by a shell. */
export function argvOf(command: string): string[] {
  return /[^\w\s@%+=:,./-]/.test(command)
    ? ['/bin/sh', '-c', command]
    : command.trim().split(/\s+/);
}
