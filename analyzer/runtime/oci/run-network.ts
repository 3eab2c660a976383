import { DebloatError, messageOf } from '../../errors.js';
import type { Workspace } from '../../workspace/workspace.js';
import { listeningHere } from '../listening.js';
import type { RunOptions } from '../types.js';
import { createNetwork, type ContainerNetwork } from './network.js';
import type { SpecRequest } from './spec.js';

/** The network that a run gets. */
export interface RunNetwork {
  spec: SpecRequest['network'];
  /** Where this machine reaches the container. */
  host: string;
  /** The container's own, where it has one. */
  address?: string;
  /** Ports that were listened on in it before. */
  hadPorts: number[];
  release: () => Promise<void>;
}

/**
 * The network that --network asks for, by default one of the container's own; where that is not
 * possible this machine's, which `warnings` is told of. Rejects with a DebloatError.
 */
export async function networkFor(
  { network }: RunOptions,
  workspace: Workspace,
  warnings: string[],
): Promise<RunNetwork> {
  const here = { host: '127.0.0.1', release: () => Promise.resolve() };
  if (network === 'none') return { ...here, spec: 'private', hadPorts: [] };
  if (network === 'host') return { ...here, spec: 'host', hadPorts: await listeningHere() };
  if (network !== undefined) {
    throw new DebloatError(`there is no network "${network}" without a container engine`, {
      hint: 'use --runtime docker, or --network host or none',
    });
  }
  let own: ContainerNetwork;
  try {
    own = await createNetwork(workspace);
  } catch (error) {
    warnings.push(
      `The container shares this machine's network, as it could get none of its own: ${messageOf(error)}.`,
    );
    return { ...here, spec: 'host', hadPorts: await listeningHere() };
  }
  const { address, path, release } = own;
  return { spec: { path }, host: address, address, hadPorts: [], release };
}
