import type { Image } from '../../image/types.js';
import type { Workspace } from '../../workspace/workspace.js';
import type { EngineConnection } from '../engine-connection.js';
import { sensorFor } from '../sensor.js';
import type { LoadedImage, Runtime } from '../types.js';
import { engineFacts } from './facts.js';
import { loadIntoEngine } from './load.js';
import { runInEngine } from './run.js';

/** Run containers on the engine of `connection` (Docker, or podman's compatible service). */
export function engineRuntime(connection: EngineConnection): Runtime {
  const title = connection.kind === 'docker' ? 'Docker engine' : 'podman';
  return {
    name: connection.kind,
    description: `${title} ${connection.version}`,
    async load(image: Image, workspace: Workspace, signal?: AbortSignal): Promise<LoadedImage> {
      const sensor = sensorFor(image.platform.architecture);
      const facts = await engineFacts(connection);
      const loaded = await loadIntoEngine(connection, image, workspace, signal);
      const config = image.config.value.config ?? {};
      return {
        run: (options) =>
          runInEngine({
            connection,
            facts,
            sensor,
            workspace,
            image: loaded.name,
            config,
            options,
          }),
        unload: () => loaded.unload(),
      };
    },
  };
}
