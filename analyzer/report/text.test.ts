import { describe, expect, it } from 'vitest';
import { sampleFiles, sampleInput } from '../../test/support/report.js';
import { createReport } from './create.js';
import { renderText } from './text.js';

const report = createReport(sampleInput());

describe('renderText', () => {
  it('has no escape sequence without colours, and the same words with them', () => {
    const plain = renderText(report, { color: false, width: 80 });
    const coloured = renderText(report, { color: true, width: 80 });
    expect(plain).not.toContain('\u001b');
    expect(coloured).toContain('\u001b[');
    expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(plain);
  });

  it.each([60, 80, 100])('fits %i columns, but for what is there to be copied', (width) => {
    const long = [
      ...sampleFiles,
      { path: `/opt/${'long/'.repeat(40)}name`, size: 9_000_000 },
      {
        path: `/srv/${'deep/'.repeat(40)}name`,
        size: 8_000_000,
        reason: { kind: 'cheap', what: 'x' } as const,
      },
    ];
    const text = renderText(createReport(sampleInput(long)), { color: false, width });
    const [body = ''] = text.split('Where it is');
    const tooLong = body.split('\n').filter((line) => Array.from(line).length > width);
    expect(tooLong).toEqual([]);
  });

  it('shows before and after, what stays and why, what went, and what to do next', () => {
    const text = renderText(report, { color: false, width: 80 });
    for (const part of [
      /^ {2}size +8.44 MB +3.10 MB +63.2%/m,
      /^ {2}shells +3 +0 +100.0%/m,
      /^ {2}compressed +unknown +1.03 MB$/m,
      / 1.90 MB {2}needed by what is used: 1 file/,
      / 5.28 MB {2}\/usr\/bin\/ \(all 6 files\)/,
      /verified: the debloated image passed 1 probe/,
      /2 paths of sh could not be read/,
      /the image has no health check/,
      /docker run --rm nginx:debloated/,
      /debloat restore docker:\/\/nginx:debloated .\/out\/overlay.squashfs/,
    ]) {
      expect(text).toMatch(part);
    }
  });

  it('lets no control character of a file name through', () => {
    const files = [
      { path: '/\u001b]0;owned\u0007\u009b31m', size: 9 },
      { path: '/a\udcff\n', size: 8, reason: { kind: 'cheap', what: 'x\u001b[1m' } as const },
    ];
    const text = renderText(createReport(sampleInput(files)), { color: false });
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\udc80-\udcff]/);
    expect(text).toContain('/a\\xff\\x0a');
  });

  it('is a whole report for an image without files', () => {
    const text = renderText(
      createReport({ ...sampleInput([]), packages: { before: [], after: [] } }),
      { color: false },
    );
    expect(text).toContain('nothing: no file stays');
    expect(text).toContain('nothing: every file stays');
    expect(text).not.toMatch(/NaN|undefined|Infinity/);
  });
});
