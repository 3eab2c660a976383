import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where test/setup/images.sh keeps the test images, as OCI layouts. */
export const layoutDirectory = join(
  process.env['DEBLOAT_TEST_CACHE'] ??
    join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'debloat-test'),
  'images',
);

/** `localhost:PORT` of the tests' registry. */
export function registryAddress(): string {
  const address = process.env['DEBLOAT_TEST_REGISTRY'];
  if (address === undefined)
    throw new Error('no registry: run `npm test`, or vitest with --project');
  return address;
}

export interface TestImage {
  /** The layout's directory. */
  layout: string;
  /** References of one and the same image, by transport. */
  oci: string;
  registry: string;
  docker: string;
}

/** References of the image made from test/images/`name`; throws if it was not built. */
export function testImage(name: string): TestImage {
  const layout = join(layoutDirectory, name);
  if (!existsSync(join(layout, 'index.json'))) {
    throw new Error(`the test image ${name} is missing: run test/setup/images.sh build ${name}`);
  }
  return {
    layout,
    oci: `oci:${layout}:1`,
    get registry() {
      return `registry://${registryAddress()}/${name}:1`;
    },
    docker: `docker://debloat-test/${name}:1`,
  };
}
