import { resolve } from 'node:path';
import { Command } from 'commander';
import { bytes, counted } from '../../analyzer/report/format.js';
import type { Image } from '../../analyzer/image/types.js';
import { parseReference, type Reference } from '../../analyzer/transport/reference.js';
import { openSource, type Access } from '../../builder/debloat-image.js';
import type { Job } from '../../builder/job.js';
import { OutputDirectory } from '../../builder/output-directory.js';
import { publishImage } from '../../builder/publish/publish.js';
import { pullOverlay } from '../../builder/publish/pull-overlay.js';
import { restoreImage, type RestoredImage } from '../../builder/restore/restore.js';
import {
  addCommonOptions,
  addSourceOptions,
  listOption,
  option,
  type CommonOptions,
  type SourceOptions,
} from '../options.js';
import { accessFrom, withJob } from '../session.js';
import { targetFor } from '../target.js';

interface RestoreOptions extends CommonOptions, SourceOptions {
  tag?: string[];
  outputDir: string;
}

const layoutName = 'image';

/** `debloat restore DEBLOATED OVERLAY`: the original image again. */
export function restoreCommand(): Command {
  const command = new Command('restore')
    .description('put the original image together again and prove it by digest')
    .argument('<debloated>', 'the debloated image: docker://NAME, registry://NAME, oci:DIR, …')
    .argument(
      '[overlay]',
      'its overlay file (default: what lies beside the image in its registry or layout)',
    )
    .addOption(
      listOption(
        '-t, --tag <name>',
        'where the original goes: a name in an engine or registry, or oci:DIR:TAG',
      ),
    )
    .addOption(
      option('-o, --output-dir <dir>', 'without --tag it goes there as an OCI layout').default(
        'debloat-restored',
      ),
    );
  return addCommonOptions(addSourceOptions(command)).action(restore);
}

async function restore(
  reference: string,
  overlay: string | undefined,
  options: RestoreOptions,
): Promise<void> {
  const access = accessFrom(options);
  const { restored, targets } = await withJob(options, async (job) => {
    const { workspace, signal } = job;
    const debloated = await openSource(reference, access, job);
    const overlayFile = overlay ?? (await fetchOverlay(debloated, access, job));
    const made = await job.stage('Rebuild the original and prove its digests', (update) =>
      restoreImage({
        debloated,
        overlayFile,
        workspace,
        signal,
        onProgress: (done, total) => update(`${bytes(done)} of ${bytes(total)}`),
      }),
    );
    const put = async (target: Reference) =>
      job.stage(`Write ${target.text}`, () =>
        publishImage(made, target, { ...access, workspace, signal }),
      );
    if (options.tag) {
      const wanted = options.tag.map((tag) => targetFor(tag, reference));
      const written: string[] = [];
      for (const target of wanted) written.push((await put(target)).reference);
      return { restored: made, targets: written };
    }
    const output = await OutputDirectory.open(options.outputDir, workspace);
    await put({
      transport: 'oci',
      text: `oci:${output.path(layoutName)}`,
      path: output.stage(layoutName),
    });
    await output.finish([layoutName]);
    return { restored: made, targets: [`oci:${resolve(options.outputDir, layoutName)}`] };
  });
  process.stdout.write(
    options.format === 'json' ? renderJson(restored, targets) : renderText(restored, targets),
  );
}

/** The overlay that lies beside the debloated image, where none was given. */
async function fetchOverlay(debloated: Image, access: Access, job: Job): Promise<string> {
  const { workspace, signal } = job;
  const reference = parseReference(debloated.reference);
  const { file } = await job.stage('Fetch the overlay', () =>
    pullOverlay(debloated, reference, { ...access, workspace, signal }),
  );
  return file;
}

function renderJson(restored: RestoredImage, targets: string[]): string {
  const { sourceReference, sameManifest } = restored;
  return `${JSON.stringify(
    {
      source: sourceReference,
      configDigest: restored.config.digest,
      layers: restored.layers.map(({ diffId, size }) => ({ diffId, size })),
      sameManifest,
      targets,
    },
    undefined,
    2,
  )}\n`;
}

function renderText(restored: RestoredImage, targets: string[]): string {
  const layers = restored.layers.map(
    ({ diffId, size }, n) => `  layer ${n + 1}  ${diffId}  ${bytes(size)}  same\n`,
  );
  return (
    `${restored.sourceReference} restored: ${counted(restored.layers.length, 'layer')} and the config are byte for byte the original’s\n` +
    `  image ID ${restored.config.digest}  same\n${layers.join('')}` +
    targets.map((target) => `written to ${target}\n`).join('')
  );
}
