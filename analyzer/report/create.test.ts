import { describe, expect, it } from 'vitest';
import { sampleFiles, sampleInput } from '../../test/support/report.js';
import { createReport } from './create.js';
import { reportSchema, type ReportTreeNode } from './model.js';

const report = createReport(sampleInput());

describe('createReport', () => {
  it('gives a report that its own schema accepts unchanged', () => {
    expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it('counts a hardlink group once and directories as kept', () => {
    expect(report.kept.bytes).toBe(1_200_000 + 1_900_000 + 1500);
    expect(report.removed.bytes).toBe(
      120_000 + 1_300_000 + 71_000 + 90_000 + 3_700_000 + 9000 + 45_000 + 150,
    );
    expect(report.sizes.before.content).toBe(report.kept.bytes + report.removed.bytes);
    expect(report.sizes.after.directories).toBe(report.sizes.before.directories);
    expect(report.sizes.after).toMatchObject({ files: 4, symlinks: 0 });
    expect(report.sizes.before).toMatchObject({ files: 14, symlinks: 1, compressed: null });
  });

  it('keeps every name of a hardlink group of which one is in the keep set', () => {
    const files = sampleFiles.map((file) =>
      file.path === '/usr/bin/perl5.36'
        ? { ...file, reason: { kind: 'cheap', what: 'for the test' } as const }
        : file,
    );
    const { kept, tree } = createReport(sampleInput(files));
    expect(kept.files).toBe(6);
    expect(kept.biggestFiles[0]).toEqual({
      path: '/usr/bin/perl',
      bytes: 3_700_000,
      reason: 'for the test',
    });
    expect(tree.kept).toBe(kept.bytes);
  });

  it('tells what is gone for an intruder: a shell symlink counts by what it runs', () => {
    expect(report.security.setuid).toEqual({ gone: ['/usr/bin/su'], remaining: [] });
    expect(report.security.capabilities).toEqual({ gone: ['/usr/bin/ping'], remaining: [] });
    expect(report.security.shells.gone).toEqual(['/usr/bin/bash', '/usr/bin/dash', '/usr/bin/sh']);
  });

  it('puts each removed file in exactly one directory row', () => {
    const rows = report.removed.biggestDirectories;
    expect(rows).toEqual([
      { path: '/usr/bin', files: 6, bytes: 5_281_000, whole: true },
      { path: '/usr/share', files: 4, bytes: 54_150, whole: true },
    ]);
    expect(rows.reduce((sum, row) => sum + row.files, 0)).toBe(report.removed.files);
  });

  it('sums up why files stay', () => {
    expect(report.kept.byReason.map(({ kind, files, bytes }) => [kind, files, bytes])).toEqual([
      ['closure', 1, 1_900_000],
      ['traced', 2, 1_201_500],
      ['cheap', 1, 0],
    ]);
    expect(report.kept.biggestFiles[0]?.reason).toBe('DT_NEEDED of /usr/sbin/nginx');
  });

  it('lists the packages that went with their removed bytes', () => {
    expect(report.packages).toEqual({
      before: 2,
      after: 1,
      removed: [
        { manager: 'dpkg', name: 'bash', version: '5.2', architecture: 'amd64', bytes: 1_345_000 },
      ],
    });
  });

  it('sums up the trace and says whether it converged', () => {
    expect(report.trace).toMatchObject({
      events: 2464,
      converged: true,
      missing: 1,
      unreadable: { sh: 2 },
    });
    const input = sampleInput();
    const [first, second] = input.trace.runs;
    if (!first || !second) throw new Error('the sample has two runs');
    const single = createReport({ ...input, trace: { ...input.trace, runs: [first] } });
    expect(single.trace.converged).toBeNull();
    const moving = { ...input.trace, runs: [first, { ...second, newPaths: 3 }] };
    expect(createReport({ ...input, trace: moving }).trace.converged).toBe(false);
  });

  it('pairs the outcomes of each probe, also when the second run ended early', () => {
    const input = sampleInput();
    const cut = createReport({ ...input, probes: { ...input.probes, debloated: [] } });
    expect(cut.probes).toEqual([
      {
        kind: 'http',
        description: 'HTTP GET /',
        original: { ok: true, detail: 'HTTP 200, 612 bytes', seconds: 0.1 },
        debloated: null,
      },
    ]);
  });

  it('works for an image without a single file', () => {
    const empty = createReport({ ...sampleInput([]), packages: { before: [], after: [] } });
    expect(empty.tree).toEqual({ name: '/', kept: 0, removed: 0, files: 0 });
    expect(empty.removed.biggestDirectories).toEqual([]);
  });
});

describe('the compact tree', () => {
  const files = Array.from({ length: 6000 }, (_, i) => ({
    path: `/d${i % 40}/e${i % 400}/f${i}`,
    size: 1 + ((i * 7919) % 10_007),
    ...(i % 3 === 0 ? { reason: { kind: 'cheap', what: 'x' } as const } : {}),
  }));
  const { tree, kept, removed } = createReport(sampleInput(files));

  it('has a bounded number of nodes and loses no byte and no file', () => {
    expect(countNodes(tree)).toBeLessThanOrEqual(1500);
    expect(countNodes(tree)).toBeGreaterThan(700);
    expect([tree.kept, tree.removed, tree.files]).toEqual([kept.bytes, removed.bytes, 6000]);
    checkSums(tree);
  });
});

function countNodes(node: ReportTreeNode): number {
  return 1 + (node.children ?? []).reduce((sum, child) => sum + countNodes(child), 0);
}

function checkSums(node: ReportTreeNode): void {
  if (!node.children) return;
  const sum = (pick: (child: ReportTreeNode) => number): number =>
    (node.children ?? []).reduce((total, child) => total + pick(child), 0);
  expect([sum((c) => c.kept), sum((c) => c.removed), sum((c) => c.files)]).toEqual([
    node.kept,
    node.removed,
    node.files,
  ]);
  node.children.forEach(checkSums);
}
