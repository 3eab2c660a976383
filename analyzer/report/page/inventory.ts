import { reasonTitle } from '../facts.js';
import { bytes, count, counted } from '../format.js';
import type { Report } from '../model.js';
import { markup, numeric, numericCell, table, type Cell, type Markup } from './markup.js';

export function keptSection({ kept }: Report): Markup {
  const reasons = kept.byReason.flatMap(({ kind, details }) =>
    details.map((detail): Cell[] => [
      reasonTitle(kind),
      detail.name,
      numericCell(detail.files, count),
      numericCell(detail.bytes, bytes),
    ]),
  );
  const rewritten = kept.rewritten.map(
    ({ path, why }) => markup`<li>${pathOf(path)} <span class="soft">${why}</span></li>`,
  );
  return markup`<section>${table({
    id: 'kept-reasons',
    caption: `What stays: ${bytes(kept.bytes)} in ${counted(kept.files, 'file')}`,
    columns: [{ title: 'because' }, { title: 'how' }, numeric('files'), numeric('size')],
    rows: reasons,
    empty: 'No file stays.',
  })}</section>
<section>${table({
    id: 'kept-files',
    caption: 'Biggest kept files',
    columns: [{ title: 'file' }, numeric('size'), { title: 'reason' }],
    rows: kept.biggestFiles.map((file): Cell[] => [
      pathOf(file.path),
      numericCell(file.bytes, bytes),
      file.reason,
    ]),
    searchable: true,
    empty: 'No file stays.',
  })}${
    rewritten.length > 0
      ? markup`<h3>Rewritten to the truth; the overlay has the original</h3><ul class="names">${rewritten}</ul>`
      : ''
  }</section>`;
}

export function removedSection({ removed, packages }: Report): Markup {
  const unlisted = removed.files - removed.biggestFiles.length;
  const listedBytes = removed.biggestFiles.reduce((sum, file) => sum + file.bytes, 0);
  return markup`<section>${table({
    id: 'removed-directories',
    caption: `What went: ${bytes(removed.bytes)} in ${counted(removed.files, 'file')}`,
    columns: [{ title: 'directory' }, numeric('files'), numeric('size'), { title: 'extent' }],
    rows: removed.biggestDirectories.map((directory): Cell[] => [
      pathOf(directory.path),
      numericCell(directory.files, count),
      numericCell(directory.bytes, bytes),
      directory.whole ? 'everything in it' : 'files directly in it',
    ]),
    empty: 'Every file stays.',
  })}</section>
<section>${table({
    id: 'removed-files',
    caption: 'Removed files',
    columns: [{ title: 'file' }, numeric('size')],
    rows: removed.biggestFiles.map((file): Cell[] => [
      pathOf(file.path),
      numericCell(file.bytes, bytes),
    ]),
    searchable: true,
    empty: 'Every file stays.',
  })}${
    unlisted > 0
      ? markup`<p class="soft below">${counted(unlisted, 'smaller file')} (${bytes(removed.bytes - listedBytes)} in all) not listed here; the overlay has every one.</p>`
      : ''
  }</section>
<section>${table({
    id: 'removed-packages',
    caption: `Removed packages: ${count(packages.removed.length)} of ${count(packages.before)}`,
    columns: [{ title: 'package' }, { title: 'version' }, { title: 'kind' }, numeric('size')],
    rows: packages.removed.map((item): Cell[] => [
      item.name,
      item.version,
      item.manager,
      numericCell(item.bytes, bytes),
    ]),
    searchable: true,
    empty: packages.before === 0 ? 'The image has no package database.' : 'Every package stays.',
  })}</section>`;
}

export function securitySection({ security }: Report): Markup {
  const lists = [
    ['Setuid and setgid programs', security.setuid],
    ['Shells', security.shells],
    ['File capabilities', security.capabilities],
  ] as const;
  return markup`<section><h2>What an intruder finds</h2><div class="columns">${lists.map(
    ([title, { gone, remaining }]) => markup`<div><h3>${title}: ${count(remaining.length)} left</h3>
${names(remaining)}<h3>${count(gone.length)} gone</h3>${names(gone)}</div>`,
  )}</div></section>`;
}

function names(paths: readonly string[]): Markup {
  if (paths.length === 0) return markup`<p class="soft">none</p>`;
  return markup`<ul class="names">${paths.map((path) => markup`<li>${pathOf(path)}</li>`)}</ul>`;
}

function pathOf(text: string): Markup {
  return markup`<span class="path">${text}</span>`;
}
