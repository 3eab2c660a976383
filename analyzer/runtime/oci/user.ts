import { DebloatError } from '../../errors.js';

/** A user as the kernel knows it. */
export interface ProcessUser {
  uid: number;
  gid: number;
  /** Supplementary groups, ascending. */
  additionalGids: number[];
  /** Home directory, "/" where none is known. */
  home: string;
}

/**
 * Who "user[:group]" (OCI config.md, User) is by the texts of an image's /etc/passwd and /etc/group.
 * As with Docker: numbers need no entry, the group is the user's own where none is named, and only
 * then do the supplementary groups of the user count. Throws a DebloatError for an unknown name.
 */
export function resolveUser(spec: string, passwd: string, group: string): ProcessUser {
  const [userName = '', groupName] = spec.split(':', 2);
  const wanted = userName === '' ? '0' : userName;
  const users = entries(passwd);
  const user =
    users.find(([name]) => name === wanted) ??
    (isId(wanted) ? users.find(([, , uid]) => uid === wanted) : undefined);
  if (!user && !isId(wanted)) throw unknown('user', wanted, 'passwd');
  const groups = entries(group);
  const login = user?.[0];
  const isMember = (members: string) => login !== undefined && members.split(',').includes(login);
  const member = groupName ? [] : groups.filter(([, , , members = '']) => isMember(members));
  return {
    uid: Number(user?.[2] ?? wanted),
    gid: groupName ? groupId(groupName, groups) : Number(user?.[3] ?? 0),
    additionalGids: [...new Set(member.map(([, , gid]) => Number(gid)))].sort((a, b) => a - b),
    home: user?.[5] ?? '/',
  };
}

function groupId(name: string, groups: string[][]): number {
  const found = groups.find(([known]) => known === name);
  if (found) return Number(found[2]);
  if (!isId(name)) throw unknown('group', name, 'group');
  return Number(name);
}

function entries(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim().split(':'))
    .filter(([name = '', , id = '']) => name !== '' && !name.startsWith('#') && isId(id));
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 31;
}

function unknown(kind: string, name: string, file: string): DebloatError {
  return new DebloatError(`the image has no ${kind} "${name}" (in its /etc/${file})`, {
    hint: 'give a user that it has, or a number, with --user',
  });
}
