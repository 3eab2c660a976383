import { compareFacts, verificationSentence, warningsOf, type Fact } from '../facts.js';
import { bytes, percent, savedFraction } from '../format.js';
import type { Report } from '../model.js';
import { markup, type Markup } from './markup.js';

export function headSection(report: Report): Markup {
  const { before, after } = report.sizes;
  const warnings = warningsOf(report).map((warning) => markup`<li>${warning}</li>`);
  const saved = percent(savedFraction(before.uncompressed, after.uncompressed));
  return markup`<h1>${report.source.reference}</h1>
<p class="soft">${bytes(before.uncompressed)} → ${bytes(after.uncompressed)}, ${saved} saved ·
  ${report.source.platform} · policy ${report.policy}</p>
<p>${verificationBadge(report)}${budgetBadge(report)}</p>
${warnings.length > 0 ? markup`<ul class="warnings">${warnings}</ul>` : ''}`;
}

function verificationBadge(report: Report): Markup {
  const { status } = report.verification;
  const [tone, mark] =
    status === 'passed' ? ['good', '✔'] : status === 'failed' ? ['bad', '✘'] : ['warn', '–'];
  return markup`<span class="badge ${tone}">${mark} ${verificationSentence(report)}</span>`;
}

function budgetBadge({ budgets }: Report): Markup | string {
  if (!budgets) return '';
  return budgets.met
    ? markup`<span class="badge good">✔ size budget met</span>`
    : markup`<span class="badge bad">✘ size budget missed</span>`;
}

export function cardsSection(report: Report): Markup {
  const cards = compareFacts(report).map(
    (fact) => markup`<li><span class="label">${fact.label}</span><b>${fact.after}</b>
  <span class="from">${beforeOf(fact)}</span>${bar(fact)}</li>`,
  );
  return markup`<ul class="cards" aria-label="before and after">${cards}</ul>`;
}

function beforeOf({ before, after, saved, left }: Fact): string {
  if (before === after) return before === '0' ? 'none before either' : 'as before';
  return saved === undefined || left === 1 ? `before: ${before}` : `from ${before}, −${saved}`;
}

function bar({ left }: Fact): Markup | string {
  if (left === undefined) return '';
  const width = (left * 100).toFixed(2);
  return markup`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="all" width="100" height="8"></rect><rect class="left" width="${width}" height="8"></rect></svg>`;
}

export function treemapSection({ tree }: Report): Markup {
  if (tree.kept + tree.removed === 0) {
    return markup`<section><h2>Map of the image</h2><p class="soft">No file of the image has any content.</p></section>`;
  }
  return markup`<section><h2 id="map-title">Map of the image</h2>
<noscript><p>The map needs JavaScript; the tables below do not.</p></noscript>
<div class="js" hidden>
<p class="legend"><span><span class="swatch kept"></span>kept: ${bytes(tree.kept)}</span>
<span><span class="swatch gone"></span>removed, in the overlay: ${bytes(tree.removed)}</span>
<span>Choose a directory to zoom in; Escape goes back up.</span></p>
<nav aria-label="directory"><ol id="crumbs"></ol></nav>
<div id="map" role="group" aria-labelledby="map-title"></div>
<p class="soft" id="here" role="status"></p></div>
<div id="tip" hidden></div></section>`;
}
