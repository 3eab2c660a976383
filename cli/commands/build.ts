import { Command } from 'commander';
import {
  compressions,
  overlayFormats,
  type Compression,
  type OverlayFormat,
} from '../../builder/types.js';
import {
  debloatImage,
  type DebloatRequest,
  type DebloatResult,
} from '../../builder/debloat-image.js';
import { explain } from '../../analyzer/keep/explain.js';
import { readProfile } from '../../analyzer/keep/profile.js';
import { policies, type Policy } from '../../analyzer/keep/types.js';
import { parsePercent, parseSize, requireBudgets } from '../../analyzer/report/budgets.js';
import { readTrace } from '../../analyzer/trace/format.js';
import { normalizePath } from '../../analyzer/image/path.js';
import {
  addCommonOptions,
  addRunOptions,
  addSourceOptions,
  listOption,
  option,
  type CommonOptions,
  type RunCommandOptions,
  type SourceOptions,
} from '../options.js';
import { workloadFrom } from '../run-plan.js';
import { accessFrom, withJob } from '../session.js';
import { addVmOptions, vmRequestFrom, writeBootCommands, type VmOptions } from '../vm-options.js';
import { defaultOutputDir, targetFor } from '../target.js';
import { render } from './report.js';

interface BuildOptions extends CommonOptions, SourceOptions, RunCommandOptions, VmOptions {
  tag?: string[];
  outputDir?: string;
  overlay: OverlayFormat;
  policy: Policy;
  keep?: string[];
  drop?: string[];
  trace?: string[];
  explain?: string[];
  squash?: boolean;
  compression: Compression;
  verify: boolean;
  maxSize?: string;
  minSavings?: string;
}

/** `debloat build IMAGE`: a verified debloated image, an overlay and a report. */
export function buildCommand(): Command {
  const command = new Command('build')
    .description('make a debloated image, the overlay of all that was removed, and a report')
    .argument(
      '<image>',
      'docker://NAME, registry://NAME, oci:DIR:TAG, docker-archive:FILE, … or a bare name',
    )
    .addOption(
      listOption('-t, --tag <name>', 'name of the result; a bare name goes to where the source is'),
    )
    .addOption(
      option(
        '-o, --output-dir <dir>',
        'for overlay, trace and report (default: debloat-out/<image>)',
      ),
    )
    .addOption(
      option('--overlay <format>', 'file system of the overlay')
        .choices(overlayFormats)
        .default('squashfs'),
    )
    .addOption(
      option('--policy <policy>', 'trades size for safety').choices(policies).default('balanced'),
    )
    .addOption(listOption('--keep <glob>', 'keep these paths, whatever the trace says'))
    .addOption(listOption('--drop <glob>', 'remove these paths, whatever the trace says'))
    .addOption(
      listOption(
        '--trace <file>',
        'use this trace instead of running the workload; several are merged',
      ),
    )
    .addOption(listOption('--explain <path>', 'also say why this path stays or goes'))
    .addOption(option('--squash', 'one layer instead of one per source layer'))
    .addOption(
      option('--compression <kind>', 'of the layers').choices(compressions).default('gzip'),
    )
    .addOption(option('--no-verify', 'do not run the debloated image before it is tagged'))
    .addOption(option('--max-size <size>', 'fail (exit code 3) if the result is larger, e.g. 60MB'))
    .addOption(option('--min-savings <percent>', 'fail (exit code 3) if less is saved, e.g. 40%'));
  return addCommonOptions(addRunOptions(addSourceOptions(addVmOptions(command)))).action(build);
}

async function build(reference: string, options: BuildOptions): Promise<void> {
  const request = await requestFrom(reference, options);
  const result = await withJob(options, (job) => debloatImage(request, job));
  process.stdout.write(render(result.report, options.format));
  writeExplanations(result, options.explain ?? []);
  if (result.vm && options.vm !== undefined) writeBootCommands(result.vm, options.vm);
  requireBudgets(result.report);
}

async function requestFrom(reference: string, options: BuildOptions): Promise<DebloatRequest> {
  const { maxSize, minSavings, profile } = options;
  return {
    reference,
    access: accessFrom(options),
    ...(await workloadFrom(options)),
    traces: await Promise.all((options.trace ?? []).map((file) => readTrace(file))),
    policy: options.policy,
    keep: options.keep ?? [],
    drop: options.drop ?? [],
    overlay: options.overlay,
    squash: options.squash ?? false,
    compression: options.compression,
    verify: options.verify,
    limits: {
      ...(maxSize !== undefined && { maxSize: parseSize(maxSize) }),
      ...(minSavings !== undefined && { minSavings: parsePercent(minSavings) }),
    },
    vm: vmRequestFrom(options),
    outputDir: options.outputDir ?? defaultOutputDir(reference),
    targets: (options.tag ?? []).map((tag) => targetFor(tag, reference)),
    profile:
      typeof profile === 'string'
        ? await readProfile(profile)
        : profile === false
          ? false
          : undefined,
  };
}

// To stderr: stdout carries the report alone.
function writeExplanations({ image, kept }: DebloatResult, paths: string[]): void {
  for (const path of paths.map((path) => normalizePath(path))) {
    const why = explain(kept.keepSet, path, image.tree);
    const named = paths.length === 1 || why.startsWith(`${path} is `);
    process.stderr.write(`${named ? '' : `${path}: `}${why}\n`);
  }
}
