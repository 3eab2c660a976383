import type { Probe, ProbeOutcome } from '../exercise/types.js';
import type { Node, Platform } from '../image/types.js';
import type { Trace } from '../trace/types.js';
import { checkBudgets } from './budgets.js';
import { listKept, listPackages, listRemoved } from './changes.js';
import type { ReportInput } from './input.js';
import { reportVersion, type ImageSize, type LayerSize, type Report } from './model.js';
import { listSecurity } from './security.js';
import { compactTree } from './tree.js';
import { measureUsage, staysIn } from './usage.js';

/** The report of one build. Pure: the same input gives the same report. */
export function createReport(input: ReportInput): Report {
  const { image, keep, describeReason, trace } = input;
  const usage = measureUsage(image.tree, keep);
  const before = measureImage(
    image.layers.map((layer) => ({
      diffId: layer.diffId,
      uncompressed: layer.entries.reduce((sum, { size }) => sum + size, 0),
      compressed: layer.compressedSize ?? null,
    })),
    usage.kept + usage.removed,
    image.tree.nodes(),
  );
  const after = measureImage([...input.result.layers], usage.kept, keptNodes(input));
  return {
    schemaVersion: reportVersion,
    tool: { name: 'debloat', version: input.toolVersion },
    createdAt: input.createdAt,
    source: {
      reference: image.reference,
      manifestDigest: image.manifest.digest,
      configDigest: image.config.digest,
      platform: platformName(image.platform),
    },
    result: {
      manifestDigest: input.result.manifestDigest,
      configDigest: input.result.configDigest,
      targets: [...input.result.targets],
    },
    overlay: { ...input.overlay },
    ...(input.vm && { vm: input.vm }),
    outputDir: input.outputDir ?? null,
    policy: keep.policy,
    sizes: { before, after },
    packages: listPackages(image, keep, input.packages),
    security: listSecurity(image.tree, keep),
    removed: listRemoved(usage),
    kept: {
      ...listKept(usage, describeReason),
      rewritten: input.rewritten.map(({ path, why }) => ({ path, why })),
    },
    trace: summarizeTrace(trace),
    verification: { ...input.verification },
    probes: pairProbes(input.probes.original, input.probes.debloated),
    timings: input.timings.map(({ stage, seconds }) => ({ stage, seconds })),
    budgets: checkBudgets(before.uncompressed, after.uncompressed, input.limits ?? {}),
    warnings: [...input.warnings],
    tree: compactTree(usage, describeReason),
  };
}

function measureImage(layers: LayerSize[], content: number, nodes: Iterable<Node>): ImageSize {
  const kinds = { file: 0, dir: 0, symlink: 0, char: 0, block: 0, fifo: 0 };
  for (const node of nodes) kinds[node.kind]++;
  return {
    uncompressed: layers.reduce((sum, layer) => sum + layer.uncompressed, 0),
    compressed: layers.reduce<number | null>(
      (sum, { compressed }) => (sum === null || compressed === null ? null : sum + compressed),
      0,
    ),
    content,
    layers,
    files: kinds.file,
    directories: kinds.dir,
    symlinks: kinds.symlink,
    others: kinds.char + kinds.block + kinds.fifo,
  };
}

function* keptNodes({ image, keep }: ReportInput): Iterable<Node> {
  for (const node of image.tree.nodes()) if (staysIn(keep, node)) yield node;
}

function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

function summarizeTrace({ runs, paths, missing }: Trace): Report['trace'] {
  const unreadable = new Map<string, number>();
  for (const run of runs) {
    for (const [program, events] of Object.entries(run.unreadable)) {
      unreadable.set(program, (unreadable.get(program) ?? 0) + events);
    }
  }
  return {
    runs: runs.map(({ startedAt, seconds, runtime, events, newPaths, exitCode }) => ({
      ...{ startedAt, seconds, runtime, events, newPaths },
      ...(exitCode === undefined ? {} : { exitCode }),
    })),
    events: runs.reduce((sum, run) => sum + run.events, 0),
    paths: Object.keys(paths).length,
    missing: Object.keys(missing).length,
    converged: runs.length < 2 ? null : runs.at(-1)?.newPaths === 0,
    unreadable: Object.fromEntries(unreadable),
  };
}

function pairProbes(
  original: readonly ProbeOutcome[],
  debloated: readonly ProbeOutcome[],
): Report['probes'] {
  const longer = original.length >= debloated.length ? original : debloated;
  return longer.map(({ probe }, index) => ({
    kind: probe.kind,
    description: describeProbe(probe),
    original: outcomeOf(original[index]),
    debloated: outcomeOf(debloated[index]),
  }));
}

function outcomeOf(outcome: ProbeOutcome | undefined): Report['probes'][number]['original'] {
  return outcome ? { ok: outcome.ok, detail: outcome.detail, seconds: outcome.seconds } : null;
}

/** A probe in one phrase: "HTTP GET /health on port 8080", "exec redis-cli ping". */
export function describeProbe(probe: Probe): string {
  switch (probe.kind) {
    case 'http':
      return `HTTP ${probe.method ?? 'GET'} ${probe.path}${probe.port === undefined ? '' : ` on port ${probe.port}`}`;
    case 'tcp':
      return `TCP port ${probe.port}`;
    case 'exec':
    case 'host-exec':
      return `${probe.kind} ${probe.command}`;
  }
}
