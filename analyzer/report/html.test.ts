import { createHash } from 'node:crypto';
import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { sampleInput } from '../../test/support/report.js';
import { createReport } from './create.js';
import { renderHtml } from './html.js';
import type { ReportTreeNode } from './model.js';

const hostile = '</script><script>alert(1)</script><!--"\'&\u001b\u202e';
const sample = sampleInput();
const report = createReport({
  ...sample,
  image: { ...sample.image, reference: `docker://${hostile}` },
  packages: {
    before: [{ manager: 'apk', name: hostile, version: hostile, files: [] }],
    after: [],
  },
  describeReason: () => hostile,
  warnings: [hostile],
  verification: { status: 'failed', why: hostile },
  timings: [{ stage: hostile, seconds: 1 }],
});
const page = renderHtml(report);

function textsOf(pattern: RegExp): string[] {
  return [...page.matchAll(pattern)].map((match) => match[1] ?? '');
}

describe('renderHtml', () => {
  it('has only our own script, style and data, whatever the image holds', () => {
    expect(page.match(/<script/gi)).toHaveLength(2);
    expect(page.match(/<\/script/gi)).toHaveLength(2);
    expect(page).not.toContain('<img');
    expect(page).not.toContain('<!--');
    const shown = page.replace(/<script>[^]*?<\/script>/, ''); // our own code may have tabs
    expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e\udc80-\udcff]/u);
    expect(page).toContain('&#60;/script&#62;&#60;script&#62;alert(1)');
  });

  it('names the hashes of exactly its style and script in its policy, and no other source', () => {
    const [policy = ''] = textsOf(/http-equiv="Content-Security-Policy" content="([^"]*)"/g);
    const [style = ''] = textsOf(/<style>([^]*?)<\/style>/g);
    const [script = ''] = textsOf(/<script>([^]*?)<\/script>/g);
    const hash = (text: string): string => createHash('sha256').update(text).digest('base64');
    expect(policy).toBe(
      `default-src 'none'; style-src 'sha256-${hash(style)}'; script-src 'sha256-${hash(script)}'; base-uri 'none'; form-action 'none'`,
    );
    expect(() => new Script(script)).not.toThrow();
    const tags = page.replace(/(<script[^>]*>)[^]*?<\/script>/g, '$1').match(/<[a-z][^>]*>/g) ?? [];
    expect(tags.length).toBeGreaterThan(100);
    expect(tags.filter((tag) => /\s(style|on\w+|src|href)=/.test(tag))).toEqual([]);
    expect(style).not.toMatch(/url\(|@import/);
  });

  it('carries the whole tree for the map, file names made visible', () => {
    const [json = ''] = textsOf(/id="tree">([^<]*)<\/script>/g);
    const tree = JSON.parse(json) as ReportTreeNode;
    expect([tree.kept, tree.removed]).toEqual([report.tree.kept, report.tree.removed]);
    expect(json).toContain('caf\\\\xe9\\\\x1b[31m');
  });

  it('has a row for each removed file with the number to sort by', () => {
    const rows = page.match(
      /<span class="path">\/usr\/bin\/bash<\/span><\/th><td class="num" data-v="1300000">1.30 MB<\/td>/g,
    );
    expect(rows).toHaveLength(1);
    expect(page.match(/<th scope="row">/g)?.length).toBeGreaterThan(report.removed.files);
  });

  it('labels what it shows: each id once, each label’s target there', () => {
    const ids = textsOf(/ id="([^"]+)"/g);
    expect(new Set(ids).size).toBe(ids.length);
    const targets = textsOf(/ (?:aria-labelledby|data-table)="([^"]+)"/g);
    expect(targets.length).toBeGreaterThan(5);
    expect(targets.filter((id) => !ids.includes(id))).toEqual([]);
  });

  it('is a page also for an image without files, and then has no map', () => {
    const empty = renderHtml(
      createReport({ ...sampleInput([]), packages: { before: [], after: [] } }),
    );
    expect(empty).toContain('No file of the image has any content.');
    expect(empty).not.toContain('id="map"');
    expect(empty).not.toMatch(/NaN|undefined<|Infinity%/);
  });
});
