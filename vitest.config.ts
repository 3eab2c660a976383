import { defineConfig } from 'vitest/config';

/** What needs virtual machines or serves disks to them. */
const machines =
  'test/integration/{attach-{all,guests,sandboxed,stub,vm},cloud,guest,hijack,inspect,kvm,mmio,modules,serve,stage2}*.test.ts';

/** A lane of integration tests: one file after another, for they watch what is left on the machine. */
function integration(name: string, files: { include: string[]; exclude?: string[] }) {
  return {
    test: {
      name,
      ...files,
      globalSetup: ['test/integration/global-setup.ts'],
      testTimeout: 300_000,
      hookTimeout: 600_000,
      fileParallelism: false,
    },
  };
}

/** `unit` needs nothing but Node and the native build; the others need what `test/setup` makes. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{cli,analyzer,builder,attacher,native}/**/*.test.ts',
            'test/rules/**/*.test.ts',
          ],
        },
      },
      integration('integration-images', {
        include: ['test/integration/**/*.test.ts'],
        exclude: [machines],
      }),
      integration('integration-machines', { include: [machines] }),
      {
        test: {
          name: 'bench',
          include: ['test/bench/**/*.bench.ts'],
          globalSetup: ['test/integration/global-setup.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
