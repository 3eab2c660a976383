import type { ProbeOutcome } from '../exercise/types.js';
import type { Digest, Image } from '../image/types.js';
import type { KeepSet, Package, Reason } from '../keep/types.js';
import type { Trace } from '../trace/types.js';
import type { Limits } from './budgets.js';
import type { LayerSize, Report, Verification } from './model.js';

/** All that a report is made of. */
export interface ReportInput {
  toolVersion: string;
  /** ISO 8601 in UTC, with a final Z. */
  createdAt: string;
  /** The original. */
  image: Image;
  keep: KeepSet;
  /** One sentence of why a file stays ("opened by nginx"). */
  describeReason: (reason: Reason) => string;
  packages: { before: readonly Package[]; after: readonly Package[] };
  /** Files whose content was rewritten. */
  rewritten: readonly { path: string; why: string }[];
  result: {
    manifestDigest: Digest;
    configDigest: Digest;
    /** References under which it was published. */
    targets: readonly string[];
    layers: readonly LayerSize[];
  };
  overlay: Report['overlay'];
  vm?: Report['vm'];
  outputDir?: string;
  trace: Trace;
  /** Of the last run on each image, in the order of the plan. */
  probes: { original: readonly ProbeOutcome[]; debloated: readonly ProbeOutcome[] };
  verification: Verification;
  timings: readonly { stage: string; seconds: number }[];
  limits?: Limits;
  warnings: readonly string[];
}
