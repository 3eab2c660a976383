import { defineConfig } from 'vitest/config';

/** Guests that QEMU emulates, and what serves disks to them. */
const guests =
  'test/integration/{attach-{all,door,guests,sandboxed,served,stub,vm},cloud,guest,microvm,mmio,serve}*.test.ts';
/** Guests on the real KVM, which want a processor of their own. */
const kvm = 'test/integration/{hijack,inspect,kvm,modules}*.test.ts';

/** A lane of integration tests: one file after another, for they watch what is left on the machine (stage 2 of containers: only in `images`). */
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
        exclude: [guests, kvm],
      }),
      integration('integration-guests', { include: [guests] }),
      integration('integration-kvm', { include: [kvm] }),
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
