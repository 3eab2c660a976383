import { writeFile } from 'node:fs/promises';
import { DebloatError } from '../analyzer/errors.js';
import type { ProbeOutcome } from '../analyzer/exercise/types.js';
import type { Image } from '../analyzer/image/types.js';
import { computeKeepSet, type KeepResult } from '../analyzer/keep/compute.js';
import { describeReason } from '../analyzer/keep/explain.js';
import { profileRules } from '../analyzer/keep/profile.js';
import type { Policy } from '../analyzer/keep/types.js';
import type { Limits } from '../analyzer/report/budgets.js';
import { createReport } from '../analyzer/report/create.js';
import { bytes, printable } from '../analyzer/report/format.js';
import { renderHtml } from '../analyzer/report/html.js';
import { renderMarkdown } from '../analyzer/report/markdown.js';
import type { Report, Verification } from '../analyzer/report/model.js';
import { reportFileName, serializeReport } from '../analyzer/report/read.js';
import { selectRuntime } from '../analyzer/runtime/select.js';
import { writeTrace } from '../analyzer/trace/format.js';
import { mergeTraces } from '../analyzer/trace/trace.js';
import type { Trace } from '../analyzer/trace/types.js';
import { openImage, type OpenOptions } from '../analyzer/transport/open-image.js';
import type { Reference } from '../analyzer/transport/reference.js';
import { buildParts, type Parts, type PartsOptions } from './build-parts.js';
import type { Job } from './job.js';
import { OutputDirectory } from './output-directory.js';
import { toolVersion } from './provenance.js';
import { publishImage } from './publish/publish.js';
import { verificationPlan, verifyImage } from './verify.js';
import { buildVm, planVm, type BuiltVm, type VmRequest } from './vm/build.js';
import type { VmDescription } from './vm/description.js';
import { reportedVm } from './vm/reported.js';
import {
  planWorkload,
  traceWorkload,
  type PlannedWorkload,
  type WorkloadRequest,
} from './workload.js';

/** How images are read from and written to registries. */
export type Access = Pick<OpenOptions, 'platform' | 'insecure' | 'authFile'>;

export interface DebloatRequest extends WorkloadRequest, Omit<PartsOptions, 'overlayFile'> {
  /** The image, as the user named it. */
  reference: string;
  access: Access;
  /** Earlier traces; with these the workload runs for verification only. */
  traces: Trace[];
  policy: Policy;
  keep: string[];
  drop: string[];
  verify: boolean;
  limits: Limits;
  outputDir: string;
  /** The microVM to make, and where. */
  vm?: (VmRequest & { dir: string }) | undefined;
  /** Where to publish; with none the image goes into the output directory as an OCI layout. */
  targets: Reference[];
}

export interface DebloatResult {
  report: Report;
  image: Image;
  kept: KeepResult;
  /** The microVM, where one was asked for. */
  vm?: VmDescription | undefined;
}

/** Names of the results in the output directory. */
const resultNames = {
  trace: 'trace.json',
  layout: 'image',
  html: 'report.html',
  markdown: 'report.md',
};

/**
 * The whole job: open, trace, decide, build, verify, publish, report. Nothing is tagged before the
 * debloated image has passed the same probes and the budgets; results appear when all is done.
 */
export async function debloatImage(request: DebloatRequest, job: Job): Promise<DebloatResult> {
  const { workspace, signal } = job;
  const output = await OutputDirectory.open(request.outputDir, workspace);
  const vmOutput = request.vm && (await OutputDirectory.open(request.vm.dir, workspace, '--vm'));
  const image = await openSource(request.reference, request.access, job);
  const vmPlan = request.vm && (await planVm(image, request.vm, request.run, job));
  const workload = await planWorkload(image, request);
  const traced = await obtainTrace(image, request, workload, job);
  const kept = await job.stage('Decide what stays', () =>
    computeKeepSet(image, traced.trace, {
      policy: request.policy,
      keep: request.keep,
      drop: request.drop,
      ...(workload.profile && { profileRules: profileRules(workload.profile) }),
    }),
  );
  const overlayName = `overlay.${request.overlay}`;
  const options = { ...request, overlayFile: output.stage(overlayName) };
  const parts = await job.stage('Build the debloated image and the overlay', (update) =>
    buildParts(image, kept, options, { workspace, signal }, update),
  );
  const expected = { ...workload, plan: verificationPlan(workload.plan, traced.outcomes) };
  const verified = await verify(parts, image, kept, request, expected, job);

  let machine: BuiltVm | undefined;

  const makeReport = (targets: string[]): Report =>
    createReport({
      toolVersion: toolVersion(),
      createdAt: new Date().toISOString(),
      image,
      keep: kept.keepSet,
      describeReason,
      packages: kept.packages,
      rewritten: kept.rewrites,
      result: {
        manifestDigest: parts.built.manifest.digest,
        configDigest: parts.built.config.digest,
        targets,
        layers: parts.built.layers.map(({ descriptor, diffId, content }) => ({
          diffId,
          uncompressed: content,
          compressed: descriptor.mediaType.endsWith('tar') ? null : descriptor.size,
        })),
      },
      overlay: { ...parts.overlay, file: output.path(overlayName) },
      ...(machine && vmOutput && { vm: reportedVm(machine.vm, vmOutput.dir) }),
      outputDir: output.dir,
      trace: traced.trace,
      probes: { original: traced.outcomes, debloated: verified.outcomes },
      verification: verified.verification,
      timings: job.timings(),
      limits: request.limits,
      warnings: [
        ...traced.warnings,
        ...kept.warnings,
        ...verified.warnings,
        ...(vmPlan?.modules?.warnings ?? []),
      ],
    });
  const withinBudgets = makeReport([]).budgets?.met ?? true;
  if (withinBudgets && vmPlan && vmOutput) {
    machine = await job.stage('Build the microVM', () =>
      buildVm(image, kept, parts, vmPlan, vmOutput, job),
    );
  }
  const targets: string[] = [];
  const finish = async (): Promise<Report> => {
    const report = makeReport(targets);
    if (machine) await vmOutput?.finish(machine.files);
    await writeResults(report, traced.trace, output, [
      overlayName,
      ...(withinBudgets && request.targets.length === 0 ? [resultNames.layout] : []),
    ]);
    return report;
  };
  try {
    if (withinBudgets) await publish(parts, request, output, job, targets);
  } catch (error) {
    if (targets.length === 0) throw error;
    await finish(); // an image that is out must not lose its overlay
    throw partlyPublished(error, targets, output.dir);
  }
  return { report: await finish(), image, kept, vm: machine?.vm };
}

/** Bring the image here, telling how far it is. */
export function openSource(
  reference: string,
  access: Access,
  { workspace, signal, stage }: Job,
): Promise<Image> {
  return stage('Open the image', (update) =>
    openImage(reference, {
      ...access,
      workspace,
      signal,
      progress: ({ stage: what, bytes: done, total }) => {
        const verb = what === 'fetch' ? 'fetched' : 'checked';
        update(`${bytes(done)}${total === undefined ? '' : ` of ${bytes(total)}`} ${verb}`);
      },
    }),
  );
}

interface Traced {
  trace: Trace;
  outcomes: ProbeOutcome[];
  warnings: string[];
}

async function obtainTrace(
  image: Image,
  request: DebloatRequest,
  workload: PlannedWorkload,
  job: Job,
): Promise<Traced> {
  if (request.traces.length === 0) return traceWorkload(image, workload, request, job);
  const foreign = request.traces.find((trace) => trace.image.configDigest !== image.config.digest);
  return {
    trace: mergeTraces(request.traces, { anyImage: true }),
    outcomes: [],
    warnings: foreign
      ? [
          `The trace is of ${foreign.image.reference} (${foreign.image.configDigest}), another version of this image.`,
        ]
      : [],
  };
}

async function verify(
  { built }: Parts,
  image: Image,
  kept: KeepResult,
  request: DebloatRequest,
  workload: PlannedWorkload,
  job: Job,
): Promise<{ verification: Verification; outcomes: ProbeOutcome[]; warnings: string[] }> {
  if (!request.verify) {
    return {
      verification: { status: 'skipped', why: '--no-verify was given' },
      outcomes: [],
      warnings: [],
    };
  }
  const runtime = await selectRuntime({ force: request.runtime });
  const { outcomes, missed } = await verifyImage(
    built,
    image,
    kept.keepSet,
    workload,
    runtime,
    job,
  );
  const warnings =
    missed.length === 0
      ? []
      : [
          `The debloated image passed, but asked for removed files that the original has: ${missed.slice(0, 5).map(printable).join(', ')}${missed.length > 5 ? ' …' : ''}.`,
        ];
  return { verification: { status: 'passed', why: null }, outcomes, warnings };
}

/** Publish to each target in turn; `published` gets the names of those that are done. */
async function publish(
  { built, overlay }: Parts,
  { targets, access }: DebloatRequest,
  output: OutputDirectory,
  { stage, workspace, signal }: Job,
  published: string[],
): Promise<void> {
  if (targets.length === 0) {
    const path = output.stage(resultNames.layout);
    await publishImage(
      built,
      { transport: 'oci', text: `oci:${path}`, path },
      { workspace, signal },
    );
    published.push(`oci:${output.path(resultNames.layout)}`);
  }
  for (const target of targets) {
    const { reference } = await stage(`Publish ${target.text}`, () =>
      publishImage(built, target, { ...access, overlay, workspace, signal }),
    );
    published.push(reference);
  }
}

function partlyPublished(error: unknown, published: string[], outputDir: string): unknown {
  if (!(error instanceof DebloatError)) return error;
  const done = `published before that: ${published.join(', ')}; the overlay and the report are in ${outputDir}`;
  return new DebloatError(error.message, {
    hint: error.hint === undefined ? done : `${error.hint}\n       ${done}`,
    exitCode: error.exitCode,
    cause: error,
  });
}

async function writeResults(
  report: Report,
  trace: Trace,
  output: OutputDirectory,
  others: string[],
): Promise<void> {
  await writeTrace(output.stage(resultNames.trace), trace);
  await writeFile(output.stage(reportFileName), serializeReport(report));
  await writeFile(output.stage(resultNames.markdown), renderMarkdown(report));
  await writeFile(output.stage(resultNames.html), renderHtml(report));
  await output.finish([
    resultNames.trace,
    reportFileName,
    resultNames.markdown,
    resultNames.html,
    ...others,
  ]);
}
