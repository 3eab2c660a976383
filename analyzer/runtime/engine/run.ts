import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { messageOf } from '../../errors.js';
import type { RunConfig } from '../../image/types.js';
import type { Workspace } from '../../workspace/workspace.js';
import type { EngineConnection } from '../engine-connection.js';
import { listeningHere } from '../listening.js';
import { sensorArchive } from '../sensor.js';
import type { Container, RunOptions } from '../types.js';
import { addressOf } from './address.js';
import { EngineContainer } from './container.js';
import { createOptions } from './create-options.js';
import type { EngineFacts } from './facts.js';
import { engineFailure } from './failure.js';

export interface EngineRun {
  connection: EngineConnection;
  facts: EngineFacts;
  /** The sensor's program for the image's architecture. */
  sensor: string;
  workspace: Workspace;
  /** As the engine knows it. */
  image: string;
  config: RunConfig;
  options: RunOptions;
}

const tracing = 'SYS_PTRACE';

/** Start the workload with the sensor in front of it. */
export async function runInEngine(run: EngineRun): Promise<Container> {
  try {
    return await attempt(run, [tracing], []);
  } catch (error) {
    if (!refusesCapability(error)) throw error;
    const warning =
      `The engine refuses the capability ${tracing} (${messageOf(error)}): ` +
      'what processes do after they change their user may go unseen.';
    return attempt(run, [], [warning]);
  }
}

async function attempt(
  run: EngineRun,
  capabilities: string[],
  warnings: string[],
): Promise<Container> {
  const { connection, facts, sensor, workspace, options } = run;
  const { docker } = connection;
  const name = `debloat-${randomBytes(6).toString('hex')}`;
  const request = createOptions({
    name,
    image: run.image,
    label: basename(workspace.dir),
    config: run.config,
    options,
    capabilities,
    boundedLog: connection.kind === 'docker',
    ...(!facts.direct && { publishAt: facts.host === '127.0.0.1' ? facts.host : '' }),
  });
  const hadPorts = options.network === 'host' && facts.direct ? listeningHere() : noPorts;
  const handle = workspace.register({
    kind: 'engine-container',
    engine: connection.options,
    id: name,
  });
  const remove = () => workspace.release(handle);
  try {
    const container = await docker.createContainer(request);
    const archive = await sensorArchive(sensor, capabilities.length > 0);
    await container.putArchive(archive, { path: '/' });
    await container.start();
    const info = await container.inspect();
    const address = addressOf(info, facts);
    return new EngineContainer(
      { connection, capabilities, info, address, direct: facts.direct, warnings, remove },
      hadPorts,
    );
  } catch (error) {
    await remove().catch(() => undefined); // still in the journal; the first failure is the one to tell
    throw engineFailure('start the container', error);
  }
}

function refusesCapability(error: unknown): boolean {
  return /capabilit|CAP_|SYS_PTRACE|forbidden|authorization denied/i.test(messageOf(error));
}

const noPorts = Promise.resolve<number[]>([]);
