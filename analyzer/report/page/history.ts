import { nextCommands, traceSentence, vmFiles } from '../facts.js';
import { bytes, counted, duration, percent } from '../format.js';
import type { Report } from '../model.js';
import { markup, numeric, numericCell, table, type Cell, type Markup } from './markup.js';

export function runsSection(report: Report): Markup {
  const total = report.timings.reduce((sum, { seconds }) => sum + seconds, 0);
  return markup`<section>${table({
    id: 'probes',
    caption: 'Probes',
    columns: [{ title: 'probe' }, { title: 'original' }, { title: 'debloated' }],
    rows: report.probes.map((probe): Cell[] => [
      markup`<code>${probe.description}</code>`,
      outcomeOf(probe.original),
      outcomeOf(probe.debloated),
    ]),
    empty: 'None was given: the workload only started.',
  })}<h3>Trace</h3><p>${traceSentence(report)}</p></section>
<section>${table({
    id: 'timings',
    caption: `Time: ${duration(total)}`,
    columns: [{ title: 'stage' }, numeric('time'), numeric('share')],
    rows: report.timings.map(({ stage, seconds }): Cell[] => [
      stage,
      numericCell(seconds, duration),
      numericCell(total === 0 ? 0 : seconds / total, percent),
    ]),
    empty: 'Nothing was timed.',
  })}</section>`;
}

function outcomeOf(outcome: Report['probes'][number]['original']): Markup {
  if (!outcome) return markup`<span class="soft">not run</span>`;
  const [tone, mark] = outcome.ok ? ['good', '✔'] : ['bad', '✘'];
  return markup`<span class="${tone}">${mark}</span> ${outcome.detail}`;
}

export function placesSection(report: Report): Markup {
  const { source, result, overlay } = report;
  const facts: [string, string][] = [
    ...result.targets.map((target): [string, string] => ['debloated image', target]),
    ['manifest digest', result.manifestDigest],
    ['image ID', result.configDigest],
    [
      'overlay',
      `${overlay.file} (${overlay.format}, ${bytes(overlay.size)}, ${counted(overlay.files, 'file')})`,
    ],
    ['overlay digest', overlay.digest],
    ...(report.vm
      ? [['microVM', `${report.vm.dir} (${vmFiles(report.vm)})`] satisfies [string, string]]
      : []),
    ['original', source.reference],
    ['its manifest digest', source.manifestDigest],
    ['its image ID', source.configDigest],
  ];
  const next = nextCommands(report).map(
    ({ purpose, command }) => markup`<h3>To ${purpose}</h3><pre>${command}</pre>`,
  );
  return markup`<section><h2>Where everything is</h2>
<dl>${facts.map(([term, text]) => markup`<dt>${term}</dt><dd class="path">${text}</dd>`)}</dl>
${next}</section>`;
}
