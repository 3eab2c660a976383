import {
  compareFacts,
  nextCommands,
  reasonTitle,
  traceSentence,
  verificationSentence,
  vmFiles,
  warningsOf,
} from './facts.js';
import { bytes, count, counted, duration, percent, printable, savedFraction } from './format.js';
import type { Report } from './model.js';

/** The report as GitHub-flavoured Markdown, for a job summary or a comment on a pull request. */
export function renderMarkdown(report: Report): string {
  return `${[
    head(report),
    comparison(report),
    details('What stays, and why', kept(report)),
    details('What went', removed(report)),
    details('Workload and time', workload(report)),
    details('Image, overlay and next steps', places(report)),
  ].join('\n\n')}\n`;
}

function head(report: Report): string {
  const { before, after } = report.sizes;
  const saved = percent(savedFraction(before.uncompressed, after.uncompressed));
  const { status } = report.verification;
  const icon = status === 'passed' ? '✅' : status === 'failed' ? '❌' : '⚪';
  return [
    `### ${code(report.source.reference)}: ${bytes(before.uncompressed)} → ${bytes(after.uncompressed)} (${saved} saved)`,
    '',
    `${icon} ${prose(verificationSentence(report))}`,
    ...warningsOf(report).flatMap((warning) => ['', `⚠️ ${prose(warning)}`]),
  ].join('\n');
}

function comparison(report: Report): string {
  return table(
    ['', 'before', 'after', 'saved'],
    compareFacts(report).map(({ label, before, after, saved }) => [
      label,
      before,
      `**${after}**`,
      saved ?? '',
    ]),
    ['left', 'right', 'right', 'right'],
  );
}

function kept({ kept: { byReason, biggestFiles } }: Report): string {
  return [
    table(
      ['kept for', 'files', 'size'],
      byReason.map(({ kind, files, bytes: size }) => [
        reasonTitle(kind),
        count(files),
        bytes(size),
      ]),
      ['left', 'right', 'right'],
    ),
    table(
      ['biggest kept files', 'size', 'reason'],
      biggestFiles
        .slice(0, 15)
        .map((file) => [code(file.path), bytes(file.bytes), prose(file.reason)]),
      ['left', 'right', 'left'],
    ),
  ].join('\n\n');
}

function removed({ removed: { biggestDirectories }, packages, security }: Report): string {
  const names = packages.removed.map(({ name, version }) => code(`${name} ${version}`));
  const remaining = [
    ['setuid programs', security.setuid.remaining],
    ['shells', security.shells.remaining],
    ['file capabilities', security.capabilities.remaining],
  ] as const;
  return [
    table(
      ['biggest removals', 'files', 'size'],
      biggestDirectories
        .slice(0, 15)
        .map(({ path, files, bytes: size, whole }) => [
          `${code(path)}${whole ? '' : ' (files directly in it)'}`,
          count(files),
          bytes(size),
        ]),
      ['left', 'right', 'right'],
    ),
    `**${counted(names.length, 'package')} removed**${names.length > 0 ? `: ${limited(names, 100)}` : ''}`,
    ...remaining.map(
      ([what, paths]) =>
        `**${what} still there**: ${paths.length > 0 ? limited(paths.map(code), 20) : 'none'}`,
    ),
  ].join('\n\n');
}

function workload(report: Report): string {
  const mark = (outcome: { ok: boolean } | null): string =>
    outcome ? (outcome.ok ? '✅' : '❌') : '–';
  return [
    prose(traceSentence(report)),
    ...(report.probes.length === 0
      ? []
      : [
          table(
            ['probe', 'original', 'debloated', 'outcome'],
            report.probes.map(({ description, original, debloated }) => [
              code(description),
              mark(original),
              mark(debloated),
              prose((debloated ?? original)?.detail ?? 'not run'),
            ]),
          ),
        ]),
    table(
      ['stage', 'time'],
      report.timings.map(({ stage, seconds }) => [prose(stage), duration(seconds)]),
      ['left', 'right'],
    ),
  ].join('\n\n');
}

function places(report: Report): string {
  const { result, source, overlay } = report;
  return [
    table(
      ['', ''],
      [
        ['image', result.targets.map(code).join('<br>') || 'not published'],
        ['digest', code(result.manifestDigest)],
        ['made from', code(source.manifestDigest)],
        ['overlay', `${code(overlay.file)} (${overlay.format}, ${bytes(overlay.size)})`],
        ['overlay digest', code(overlay.digest)],
        ...(report.vm ? [['microVM', `${code(report.vm.dir)} (${vmFiles(report.vm)})`]] : []),
      ],
    ),
    ...nextCommands(report).map(
      ({ purpose, command }) => `${purpose}: <code>${escapeAll(command)}</code>`,
    ),
  ].join('\n\n');
}

function details(title: string, body: string): string {
  return `<details><summary>${title}</summary>\n\n${body}\n\n</details>`;
}

function table(
  head: string[],
  rows: string[][],
  align: ('left' | 'right')[] = head.map(() => 'left'),
): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    line(align.map((side) => (side === 'right' ? '---:' : '---'))),
    ...rows.map(line),
  ].join('\n');
}

function limited(items: string[], most: number): string {
  const more = items.length - most;
  return `${items.slice(0, most).join(', ')}${more > 0 ? ` and ${count(more)} more` : ''}`;
}

/** Names and paths: no Markdown, HTML, mention or table cell can begin or end in them. */
function code(text: string): string {
  return `<code>${escapeAll(text)}</code>`;
}

// A character reference never starts Markdown syntax (CommonMark 0.31, 2.5).
function escapeAll(text: string): string {
  return printable(text).replace(
    /[^\p{L}\p{N} ./:=+%,-]/gu,
    (char) => `&#${char.codePointAt(0) ?? 0xfffd};`,
  );
}

function prose(text: string): string {
  return printable(text).replace(/[\\`*_{}[\]<>#!|@&~$]/g, (char) => `&#${char.charCodeAt(0)};`);
}
