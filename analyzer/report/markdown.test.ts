import { describe, expect, it } from 'vitest';
import { sampleInput } from '../../test/support/report.js';
import { createReport } from './create.js';
import { renderMarkdown } from './markdown.js';

describe('renderMarkdown', () => {
  const text = renderMarkdown(createReport(sampleInput()));

  it('begins with what matters and has the comparison as a table', () => {
    expect(text.split('\n')[0]).toBe(
      '### <code>docker://nginx:1</code>: 8.44 MB → 3.10 MB (63.2% saved)',
    );
    expect(text).toContain('✅ verified: the debloated image passed 1 probe');
    expect(text).toContain('| files | 14 | **4** | 71.4% |');
    expect(text.match(/<details>/g)?.length).toBe(text.match(/<\/details>/g)?.length);
  });

  it('has the same number of cells in all rows of each table', () => {
    const tables = text.split(/\n\n/).filter((block) => block.startsWith('|'));
    expect(tables.length).toBeGreaterThan(4);
    for (const table of tables) {
      const widths = table.split('\n').map((line) => line.split('|').length);
      expect(new Set(widths).size).toBe(1);
    }
  });

  it('lets no name begin Markdown, HTML, a mention or a new line', () => {
    const name = '`|</code><script>*a*_b_[x](y)@team#1\n## owned ~~ $x$ \\';
    const report = createReport({
      ...sampleInput([{ path: `/${name}`, size: 5, reason: { kind: 'cheap', what: name } }]),
      warnings: [name],
      verification: { status: 'failed', why: name },
    });
    const hostile = renderMarkdown(report);
    expect(hostile).not.toMatch(/<script|@team|\*a\*|_b_|\[x\]|~~|^## /m);
    expect(hostile).toContain('&#60;script&#62;');
    expect(hostile).toContain('\\x0a'.replace('\\', '&#92;'));
  });
});
