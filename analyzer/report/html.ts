import { createHash } from 'node:crypto';
import { printable } from './format.js';
import type { Report, ReportTreeNode } from './model.js';
import { markup, scriptJson, Markup } from './page/markup.js';
import { placesSection, runsSection } from './page/history.js';
import { keptSection, removedSection, securitySection } from './page/inventory.js';
import { cardsSection, headSection, treemapSection } from './page/overview.js';
import { script } from './page/script.js';
import { style } from './page/style.js';

/**
 * The report as one HTML page that needs nothing else: no network, no other file. Its content
 * security policy lets only our own style and script run, whatever an image's file names hold.
 */
export function renderHtml(report: Report): string {
  const policy = `default-src 'none'; style-src ${hashSource(style)}; script-src ${hashSource(script)}; base-uri 'none'; form-action 'none'`;
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="${new Markup(policy)}" />
<title>debloat: ${report.source.reference}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<header>${headSection(report)}</header>
<main>
${cardsSection(report)}
${treemapSection(report)}
${keptSection(report)}
${removedSection(report)}
${securitySection(report)}
${runsSection(report)}
${placesSection(report)}
</main>
<footer>debloat ${report.tool.version}, ${report.createdAt}. Sizes are decimal: 1 MB is 1,000,000 bytes.</footer>
<script type="application/json" id="tree">${scriptJson(shownTree(report.tree))}</script>
<script>${new Markup(script)}</script>
</body>
</html>
`.text;
}

function hashSource(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

function shownTree(node: ReportTreeNode): ReportTreeNode {
  return {
    ...node,
    name: printable(node.name),
    ...(node.reason === undefined ? {} : { reason: printable(node.reason) }),
    ...(node.children ? { children: node.children.map(shownTree) } : {}),
  };
}
