import pc from 'picocolors';
import {
  compareFacts,
  nextCommands,
  reasonTitle,
  traceSentence,
  verificationSentence,
  vmFiles,
  warningsOf,
} from './facts.js';
import { bytes, counted, count, duration, printable } from './format.js';
import type { Report } from './model.js';
import { TextPage } from './text-page.js';

export interface TextOptions {
  /** Default: whether stdout is a terminal that wants colours (NO_COLOR is honoured). */
  color?: boolean;
  /** Columns; default: stdout's, else 80. At least 60 are used. */
  width?: number;
}

/** The report for a terminal, ending in a newline. */
export function renderText(report: Report, options: TextOptions = {}): string {
  const columns = options.width ?? (process.stdout.isTTY ? process.stdout.columns : 80);
  const page = new TextPage(
    Math.min(Math.max(columns, 60), 100),
    options.color ?? pc.isColorSupported,
  );
  writeHead(page, report);
  writeComparison(page, report);
  writeKept(page, report);
  writeRemoved(page, report);
  writeSecurity(page, report);
  writeRuns(page, report);
  writePlaces(page, report);
  return page.text();
}

function writeHead(page: TextPage, report: Report): void {
  const { paint } = page;
  const [target = 'not published'] = report.result.targets;
  page.line(paint.bold(page.cut(`${report.source.reference} → ${target}`, page.width)));
  page.line(paint.dim(`${report.source.platform}, policy ${report.policy}`));
  const { status } = report.verification;
  const mark =
    status === 'passed'
      ? paint.green('✔')
      : status === 'failed'
        ? paint.red('✘')
        : paint.yellow('–');
  page.wrap(`${mark} `, verificationSentence(report));
  for (const warning of warningsOf(report)) page.wrap(`${paint.yellow('!')} `, warning);
}

function writeComparison(page: TextPage, report: Report): void {
  const { paint } = page;
  page.title(''.padEnd(19) + 'before'.padStart(10) + 'after'.padStart(11) + 'saved'.padStart(9));
  for (const fact of compareFacts(report)) {
    const row = fact.label.padEnd(17) + fact.before.padStart(10);
    page.line(
      `  ${row} ${paint.bold(fact.after.padStart(10))} ${fact.saved === undefined ? '' : paint.green(fact.saved.padStart(8))}${page.bar(fact.left, 50)}`,
    );
  }
  const { misses, met } = report.budgets ?? { misses: [], met: false };
  if (report.budgets && met && misses.length === 0)
    page.line(`  ${paint.green('size budget met')}`);
}

function writeKept(page: TextPage, { kept }: Report): void {
  page.title('Kept for');
  for (const { kind, bytes: size, files, details } of kept.byReason) {
    page.sized(size, `${reasonTitle(kind)}: ${counted(files, 'file')}`);
    if (kind !== 'closure' && kind !== 'rule') continue;
    for (const detail of details.slice(0, 3)) {
      page.sized(
        detail.bytes,
        `  ${detail.name}: ${counted(detail.files, 'file')}`,
        page.paint.dim,
      );
    }
  }
  if (kept.files === 0) page.line('  nothing: no file stays');
  if (kept.biggestFiles.length > 0) page.title('Biggest kept files');
  for (const file of kept.biggestFiles.slice(0, 8)) {
    page.sized(file.bytes, file.path, undefined, file.reason);
  }
}

function writeRemoved(page: TextPage, { removed, packages }: Report): void {
  page.title('Biggest removals');
  for (const directory of removed.biggestDirectories.slice(0, 8)) {
    const what = `${directory.path === '/' ? '/' : `${directory.path}/`} ${
      directory.whole ? '(all' : '('
    }${directory.whole ? ' ' : ''}${counted(directory.files, 'file')})`;
    page.sized(directory.bytes, what);
  }
  if (removed.files === 0) page.line('  nothing: every file stays');
  const biggest = [...packages.removed].sort((a, b) => b.bytes - a.bytes).slice(0, 12);
  if (biggest.length === 0) return;
  const more = packages.removed.length - biggest.length;
  const names = biggest.map(({ name }) => name).join(', ');
  page.title(`Packages removed: ${count(packages.removed.length)}`);
  page.wrap('  ', `${names}${more > 0 ? ` and ${count(more)} more` : ''}`);
}

function writeSecurity(page: TextPage, { security }: Report): void {
  const left = [
    ['setuid', security.setuid.remaining],
    ['shells', security.shells.remaining],
    ['capabilities', security.capabilities.remaining],
  ] as const;
  if (left.every(([, paths]) => paths.length === 0)) return;
  page.title('Still in the image');
  for (const [what, paths] of left) {
    if (paths.length === 0) continue;
    const more = paths.length > 6 ? ` and ${count(paths.length - 6)} more` : '';
    page.wrap(`  ${what.padEnd(13)} `, `${paths.slice(0, 6).join(', ')}${more}`);
  }
}

function writeRuns(page: TextPage, report: Report): void {
  const { paint } = page;
  page.title('Workload');
  page.wrap('  ', traceSentence(report));
  for (const { description, original, debloated } of report.probes) {
    const marks = [original, debloated]
      .map((outcome) =>
        outcome ? (outcome.ok ? paint.green('✔') : paint.red('✘')) : paint.dim('·'),
      )
      .join(' ');
    page.wrap(`  ${marks} `, `${description}: ${(debloated ?? original)?.detail ?? 'not run'}`);
  }
  if (report.timings.length === 0) return;
  const total = report.timings.reduce((sum, { seconds }) => sum + seconds, 0);
  const stages = report.timings
    .filter(({ seconds }) => seconds >= 0.05)
    .map(({ stage, seconds }) => `${stage} ${duration(seconds)}`);
  page.title(`Time: ${duration(total)}`);
  page.wrap('  ', stages.join(', '));
}

function writePlaces(page: TextPage, report: Report): void {
  const { paint } = page;
  page.title('Where it is');
  for (const target of report.result.targets) page.place('image', target);
  page.place('digest', report.result.manifestDigest);
  page.place(
    'overlay',
    `${report.overlay.file} (${report.overlay.format}, ${bytes(report.overlay.size)})`,
  );
  if (report.vm) page.place('microVM', `${report.vm.dir} (${vmFiles(report.vm)})`);
  if (report.outputDir !== null) page.place('report', `${report.outputDir}/report.json`);
  const commands = nextCommands(report);
  if (commands.length > 0) page.title('Next');
  // never cut or wrapped: they are there to be copied
  for (const { command } of commands) page.line(`  ${paint.cyan(printable(command))}`);
}
