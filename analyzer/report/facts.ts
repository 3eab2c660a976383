import { bytes, count, counted, percent, savedFraction, shellWord } from './format.js';
import type { Report } from './model.js';

/** One line of the before → after table. */
export interface Fact {
  label: string;
  before: string;
  after: string;
  /** Share that went; undefined where it cannot be told. */
  saved?: string;
  /** Share that is left, 0 to 1 (for bars). */
  left?: number;
}

/** The comparison that every form of the report begins with. */
export function compareFacts({ sizes, packages, security }: Report): Fact[] {
  const { before, after } = sizes;
  return [
    numbers('size', before.uncompressed, after.uncompressed, bytes),
    before.compressed === null
      ? { label: 'compressed', before: 'unknown', after: bytesOrUnknown(after.compressed) }
      : after.compressed === null
        ? { label: 'compressed', before: bytes(before.compressed), after: 'unknown' }
        : numbers('compressed', before.compressed, after.compressed, bytes),
    numbers('files', before.files, after.files, count),
    numbers('packages', packages.before, packages.after, count),
    goneFacts('setuid programs', security.setuid),
    goneFacts('shells', security.shells),
    goneFacts('file capabilities', security.capabilities),
  ];
}

function bytesOrUnknown(value: number | null): string {
  return value === null ? 'unknown' : bytes(value);
}

function goneFacts(label: string, list: Report['security']['setuid']): Fact {
  const before = list.gone.length + list.remaining.length;
  return numbers(label, before, list.remaining.length, count);
}

function numbers(
  label: string,
  before: number,
  after: number,
  show: (value: number) => string,
): Fact {
  if (before === 0) return { label, before: show(before), after: show(after) };
  return {
    label,
    before: show(before),
    after: show(after),
    saved: percent(savedFraction(before, after)),
    left: Math.min(1, after / before),
  };
}

const kindTitles: Record<Report['kept']['byReason'][number]['kind'], string> = {
  traced: 'used by the workload',
  closure: 'needed by what is used',
  rule: 'asked for by a rule',
  cheap: 'costs next to nothing',
};

/** What kind of reason this is, in words. */
export function reasonTitle(kind: Report['kept']['byReason'][number]['kind']): string {
  return kindTitles[kind];
}

/** The verification in one sentence. */
export function verificationSentence({ verification, probes }: Report): string {
  const { status, why } = verification;
  const reason = why === null ? '' : `: ${why}`;
  if (status === 'passed') {
    return probes.length === 0
      ? `verified: the debloated image ran the same way${reason}`
      : `verified: the debloated image passed ${counted(probes.length, 'probe')}${reason}`;
  }
  return status === 'failed' ? `verification failed${reason}` : `not verified${reason}`;
}

/** The trace in one sentence. */
export function traceSentence({ trace }: Report): string {
  const runs = counted(trace.runs.length, 'run');
  const convergence =
    trace.converged === null
      ? 'one run cannot tell whether another would use more (--runs 2 can)'
      : trace.converged
        ? 'the last run used nothing new'
        : `the last run still used ${counted(trace.runs.at(-1)?.newPaths ?? 0, 'new path')}: raise --runs`;
  return `${runs}, ${counted(trace.events, 'event')}, ${counted(trace.paths, 'path')} used, ${count(trace.missing)} asked for in vain; ${convergence}`;
}

/** Reasons to distrust the trace or the result, in sentences. */
export function warningsOf(report: Report): string[] {
  const lost = Object.entries(report.trace.unreadable).filter(([, events]) => events > 0);
  return [
    ...(report.budgets?.misses.map((miss) => `budget missed: ${miss}`) ?? []),
    ...lost.map(
      ([program, events]) => `${counted(events, 'path')} of ${program} could not be read`,
    ),
    ...report.warnings,
  ];
}

/** Commands that a reader may want next, ready for a shell. */
export function nextCommands(report: Report): { purpose: string; command: string }[] {
  const [target] = report.result.targets;
  const commands = [];
  const local = report.result.targets.find((name) => name.startsWith('docker://'));
  if (local !== undefined) {
    commands.push({
      purpose: 'run it',
      command: `docker run --rm ${shellWord(local.slice('docker://'.length))}`,
    });
  }
  if (target !== undefined) {
    commands.push({
      purpose: 'get the original back',
      command: `debloat restore ${shellWord(target)} ${shellWord(report.overlay.file)}`,
    });
  }
  if (report.outputDir !== null) {
    commands.push({
      purpose: 'see it as a page',
      command: `debloat report ${shellWord(report.outputDir)} --format html -o report.html`,
    });
  }
  return commands;
}

/** The files of a microVM with their sizes: "root.squashfs 12.3 MB, initramfs 1.9 MB, kernel 8.2 MB". */
export function vmFiles({ root, initramfs, kernel }: NonNullable<Report['vm']>): string {
  return [root, initramfs, kernel]
    .flatMap((each) => (each ? [`${each.file} ${bytes(each.size)}`] : []))
    .join(', ');
}
