import { DebloatError } from '../errors.js';
import type { ImagePath } from '../image/path.js';
import type { RawTrace } from './raw.js';
import { accessKinds, type Trace, type TracedPath, type TraceRun } from './types.js';

/** One run, as the one who ran it knows it. */
export interface RunInfo extends Pick<TraceRun, 'startedAt' | 'seconds' | 'runtime' | 'exitCode'> {
  image: Trace['image'];
}

/**
 * The trace of one run. A path counts as created if it was not there when it was first asked for and
 * was there (or was made) later.
 */
export function traceFromRun(raw: RawTrace, { image, ...info }: RunInfo): Trace {
  const paths = new Map<ImagePath, TracedPath>();
  const missing = new Map<ImagePath, string>();
  for (const { path, kind, by, outcome } of raw.records) {
    const known = paths.get(path);
    if (outcome === 'missing') {
      if (!known && !missing.has(path)) missing.set(path, by);
    } else if (known) {
      known.access[kind] ??= by;
    } else {
      const made = outcome === 'created' || missing.has(path);
      paths.set(path, { access: { [kind]: by }, runs: 1, ...(made && { created: true as const }) });
      missing.delete(path);
    }
  }
  const run: TraceRun = {
    ...info,
    events: raw.events,
    unreadable: Object.fromEntries(raw.unreadable),
    ...(raw.lost !== undefined && raw.lost > 0 && { lost: raw.lost }),
    newPaths: countImagePaths(paths.values()),
  };
  return { schemaVersion: 1, image, runs: [run], paths: sorted(paths), missing: sorted(missing) };
}

/**
 * All runs of all `traces`, in the order given, as one trace. What one run found is not missing, and
 * what one run found from the start is not created. Throws a DebloatError if there is none, or if
 * they are of different images (by config digest) and `anyImage` is not set.
 */
export function mergeTraces(traces: readonly Trace[], options: { anyImage?: boolean } = {}): Trace {
  const [first, ...others] = traces;
  if (!first) throw new DebloatError('there is no trace to merge');
  const other = others.find((trace) => trace.image.configDigest !== first.image.configDigest);
  if (other && options.anyImage !== true) {
    throw new DebloatError(
      `the traces are of different images: ${first.image.reference} (${first.image.configDigest}) and ${other.image.reference} (${other.image.configDigest})`,
      { hint: 'trace the image that you want to debloat' },
    );
  }
  return others.reduce(mergeTwo, first);
}

function mergeTwo(earlier: Trace, later: Trace): Trace {
  const paths = new Map(Object.entries(earlier.paths));
  let unknown = 0;
  for (const [path, traced] of Object.entries(later.paths)) {
    const known = paths.get(path);
    if (!known && traced.created !== true) unknown++;
    paths.set(path, known ? mergePaths(known, traced) : traced);
  }
  const missing = new Map(
    Object.entries({ ...later.missing, ...earlier.missing }).filter(([path]) => !paths.has(path)),
  );
  return {
    schemaVersion: 1,
    image: earlier.image,
    runs: [...earlier.runs, ...recount(later.runs, unknown)],
    paths: sorted(paths),
    missing: sorted(missing),
  };
}

function mergePaths(a: TracedPath, b: TracedPath): TracedPath {
  const access: TracedPath['access'] = {};
  for (const kind of accessKinds) {
    const by = a.access[kind] ?? b.access[kind];
    if (by !== undefined) access[kind] = by;
  }
  const created = a.created === true && b.created === true;
  return { access, runs: a.runs + b.runs, ...(created && { created: true as const }) };
}

/** Which of several later runs saw a path first is not known any more: the earlier is taken. */
function recount(runs: readonly TraceRun[], unknown: number): TraceRun[] {
  let left = unknown;
  return runs.map((run) => {
    const newPaths = Math.min(run.newPaths, left);
    left -= newPaths;
    return { ...run, newPaths };
  });
}

/** Whether the last of at least two runs used no path that the runs before had not used. */
export function hasConverged(trace: Trace): boolean {
  return trace.runs.length > 1 && trace.runs.at(-1)?.newPaths === 0;
}

function countImagePaths(paths: Iterable<TracedPath>): number {
  let count = 0;
  for (const path of paths) if (path.created !== true) count++;
  return count;
}

/** By code unit, so that the same use gives the same file. */
function sorted<T>(map: ReadonlyMap<ImagePath, T>): Record<ImagePath, T> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
