import { randomBytes } from 'node:crypto';
import { execa } from 'execa';
import { DebloatError } from '../../errors.js';
import type { Workspace } from '../../workspace/workspace.js';
import { pickSubnet, type Subnet } from './subnet.js';

/** A network namespace of a container's own, linked to this machine. */
export interface ContainerNetwork {
  /** To be named in the container's spec. */
  path: string;
  /** Of the container. */
  address: string;
  release: () => Promise<void>;
}

/**
 * Make a named network namespace with loopback and one veth link to this machine. Nothing outside of
 * the link is reachable: this machine's forwarding and packet filter stay as they are.
 * Rejects with a DebloatError where that is not possible.
 */
export async function createNetwork(workspace: Workspace): Promise<ContainerNetwork> {
  const id = randomBytes(4).toString('hex');
  const name = `debloat-${id}`;
  const link = `dbl-${id}`; // 15 characters at most
  const subnet = pickSubnet(await takenNetworks());
  const handle = workspace.register({ kind: 'netns', name });
  const release = () => workspace.release(handle); // the link goes with it
  try {
    await ip('netns', 'add', name);
    await configure(name, link, subnet);
  } catch (error) {
    await release();
    throw error;
  }
  return { path: `/run/netns/${name}`, address: subnet.container, release };
}

async function configure(name: string, link: string, subnet: Subnet): Promise<void> {
  await ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await ip('address', 'add', `${subnet.host}/30`, 'dev', link);
  await ip('link', 'set', link, 'up');
  await ip('-netns', name, 'link', 'set', 'lo', 'up');
  await ip('-netns', name, 'address', 'add', `${subnet.container}/30`, 'dev', 'eth0');
  await ip('-netns', name, 'link', 'set', 'eth0', 'up');
  await ip('-netns', name, 'route', 'add', 'default', 'via', subnet.host);
}

/** Networks that this machine has a route into, as "a.b.c.d/n"; the default route does not count. */
async function takenNetworks(): Promise<string[]> {
  const routes = JSON.parse(await ip('-json', '-4', 'route', 'show', 'table', 'all')) as {
    dst?: string;
  }[];
  return routes.flatMap(({ dst }) => (dst === undefined || dst === 'default' ? [] : [dst]));
}

async function ip(...args: string[]): Promise<string> {
  const result = await execa('ip', args, { reject: false, stdin: 'ignore' });
  if (result.code === 'ENOENT') {
    throw new DebloatError('ip is not installed', { hint: 'install it: apt install iproute2' });
  }
  if (result.failed) {
    const reason = result.stderr.trim().split('\n').at(-1) ?? '';
    throw new DebloatError(`ip ${args.join(' ')} failed: ${reason || result.shortMessage}`);
  }
  return result.stdout;
}
