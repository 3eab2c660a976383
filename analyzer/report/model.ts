import { z } from 'zod';
import { policies } from '../keep/types.js';

/** The version of the format; raised only when a reader of the old one would go wrong. */
export const reportVersion = 1;

const count = z.int().nonnegative();
const bytes = count.describe('bytes');
const seconds = z.number().nonnegative().describe('seconds');
const digest = z
  .templateLiteral(['sha256:', z.string().regex(/^[0-9a-f]{64}$/)])
  .describe('sha256 digest, lower case');
const path = z
  .string()
  .describe(
    'absolute path in the image; a byte that is not UTF-8 is a lone surrogate U+DC80..DCFF',
  );

const layer = z.object({
  diffId: digest.describe('digest of the uncompressed tar'),
  uncompressed: bytes,
  compressed: bytes.nullable().describe('null where the source keeps the layer uncompressed'),
});

const imageSize = z.object({
  uncompressed: bytes.describe(
    'the regular files of all layers, hidden ones too: what `docker images` prints',
  ),
  compressed: bytes
    .nullable()
    .describe('sum of the layers, compressed: what a pull transfers; null where it is not known'),
  content: bytes.describe('regular files of the merged tree, each hardlink group once'),
  layers: z.array(layer),
  files: count,
  directories: count,
  symlinks: count,
  others: count.describe('devices and FIFOs'),
});

const measuredFile = z.object({
  file: z.string().describe('in the directory of the microVM'),
  digest,
  size: bytes,
});

const pathBytes = z.object({ path, bytes });
const goneAndLeft = z.object({ gone: z.array(path), remaining: z.array(path) });
const amount = z.object({ files: count, bytes });

const outcome = z.object({ ok: z.boolean(), detail: z.string(), seconds });

const treeNode = z.object({
  name: z.string().describe('file name; "/" for the root, "" for the rest of a directory'),
  kept: bytes,
  removed: bytes,
  files: count.describe('regular files in it, or 1'),
  reason: z.string().optional().describe('of a kept file: why it stays'),
  get children() {
    return z.array(treeNode).optional().describe('of a directory, biggest first');
  },
});

/** Schema of `report.json`, version 1 (docs/report-format.md). */
export const reportSchema = z.object({
  schemaVersion: z.literal(reportVersion),
  tool: z.object({ name: z.literal('debloat'), version: z.string() }),
  createdAt: z.iso.datetime(),
  source: z.object({
    reference: z.string(),
    manifestDigest: digest,
    configDigest: digest.describe('the image ID'),
    platform: z.string().describe('os/architecture[/variant]'),
  }),
  result: z.object({
    manifestDigest: digest,
    configDigest: digest.describe('the image ID'),
    targets: z
      .array(z.string())
      .describe('references under which the debloated image was published; none if it was not'),
  }),
  overlay: z.object({
    file: z.string(),
    format: z.enum(['squashfs', 'ext4', 'erofs']),
    digest,
    size: bytes.describe('bytes of the overlay file'),
    files: count.describe('files, symlinks, … in it (directories left out)'),
  }),
  vm: z
    .object({
      dir: z.string().describe('where the microVM is (its vm.json: docs/vm.md)'),
      root: measuredFile.extend({ format: z.enum(['squashfs', 'ext4', 'erofs']) }),
      initramfs: measuredFile.nullable(),
      kernel: measuredFile.nullable(),
      memoryMebibytes: count.describe('memory that should do'),
    })
    .optional()
    .describe('there if a microVM was made'),
  outputDir: z.string().nullable().describe('where overlay, trace and report were written'),
  policy: z.enum(policies),
  sizes: z.object({ before: imageSize, after: imageSize }),
  packages: z.object({
    before: count,
    after: count,
    removed: z.array(
      z.object({
        manager: z.enum(['dpkg', 'apk', 'rpm']),
        name: z.string(),
        version: z.string(),
        architecture: z.string().optional(),
        bytes: bytes.describe('removed bytes of its files'),
      }),
    ),
  }),
  security: z.object({
    setuid: goneAndLeft.describe('regular files with the setuid or setgid bit'),
    shells: goneAndLeft,
    capabilities: goneAndLeft.describe('regular files with file capabilities'),
  }),
  removed: amount.extend({
    biggestFiles: z.array(pathBytes).describe('biggest first; at most 5000'),
    biggestDirectories: z
      .array(
        amount.extend({
          path,
          whole: z
            .boolean()
            .describe(
              'true: everything below went; false: only the files directly in it are counted',
            ),
        }),
      )
      .describe('each removed file counts in one row; biggest first; at most 50'),
  }),
  kept: amount.extend({
    biggestFiles: z.array(pathBytes.extend({ reason: z.string() })).describe('at most 200'),
    byReason: z.array(
      amount.extend({
        kind: z.enum(['traced', 'closure', 'rule', 'cheap']),
        details: z.array(amount.extend({ name: z.string() })).describe('at most 20'),
      }),
    ),
    rewritten: z
      .array(z.object({ path, why: z.string() }))
      .describe('files whose content differs from the original, which the overlay has'),
  }),
  trace: z.object({
    runs: z.array(
      z.object({
        startedAt: z.string(),
        seconds,
        runtime: z.string(),
        events: count,
        newPaths: count.describe('paths that no earlier run had used'),
        exitCode: z.int().optional(),
      }),
    ),
    events: count.describe('system calls seen'),
    paths: count,
    missing: count.describe('paths asked for that were not there'),
    converged: z
      .boolean()
      .nullable()
      .describe('whether the last run used nothing new; null after a single run'),
    unreadable: z.record(z.string(), count).describe('events whose path was lost, by program'),
  }),
  verification: z.object({
    status: z.enum(['passed', 'failed', 'skipped']),
    why: z.string().nullable().describe('why it failed or was skipped'),
  }),
  probes: z.array(
    z.object({
      kind: z.enum(['http', 'tcp', 'exec', 'host-exec']),
      description: z.string(),
      original: outcome.nullable(),
      debloated: outcome.nullable(),
    }),
  ),
  timings: z.array(z.object({ stage: z.string(), seconds })),
  budgets: z
    .object({
      maxSize: bytes.nullable(),
      minSavings: z.number().nullable().describe('fraction of the uncompressed size, 0 to 1'),
      met: z.boolean(),
      misses: z.array(z.string()).describe('one sentence for each budget missed'),
    })
    .nullable(),
  warnings: z.array(z.string()),
  tree: treeNode.describe('the merged tree before, small entries summed up; for the treemap'),
});

/** The whole story of one build: what went in, what came out, what went and why the rest stayed. */
export type Report = z.infer<typeof reportSchema>;
export type ReportTreeNode = z.infer<typeof treeNode>;
export type ImageSize = z.infer<typeof imageSize>;
export type LayerSize = z.infer<typeof layer>;
export type Budgets = NonNullable<Report['budgets']>;
export type Verification = Report['verification'];

/** The JSON Schema (draft 2020-12) of a report, as in docs/report.schema.json. */
export function reportJsonSchema(): object {
  return {
    ...z.toJSONSchema(reportSchema, { io: 'input' }),
    title: 'debloat report',
    description: 'What `debloat build --format json` prints and writes to report.json.',
  };
}
