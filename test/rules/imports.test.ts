import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A part may import the parts after it, and itself. */
const parts = ['cli', 'attacher', 'builder', 'analyzer', 'native'];

interface Source {
  /** From the repository's root: "analyzer/image/tree.ts". */
  path: string;
  text: string;
}

function sourcesBelow(folders: string[]): Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|mjs|c|h|sh)$/.test(name))
      .map((name) => {
        const path = join(folder, name);
        return { path, text: readFileSync(join(root, path), 'utf8') };
      }),
  );
}

/** The files of ours that `source` imports; with `typesToo: false`, only at run time. */
function importsOf(source: Source, options: { typesToo: boolean }): string[] {
  const statements = source.text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'(\.[^']+)'/gm,
  );
  const dynamic = source.text.matchAll(/\bimport\((type\s)?'(\.[^']+)'\)/g);
  return [...statements, ...dynamic]
    .filter((match) => options.typesToo || match[1] === undefined)
    .map((match) => normalize(join(dirname(source.path), match[2] ?? '')).replace(/\.js$/, '.ts'));
}

/** The folder of a feature, with all below it: "analyzer/report"; a file in a part's own folder is its own. */
function featureOf(path: string): string {
  return path.split('/').slice(0, 2).join('/');
}

/** The first cycle among `edges`, as the list of its nodes, or undefined. */
function findCycle(edges: Map<string, Set<string>>): string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, path: string[]): string[] | undefined => {
    const at = path.indexOf(node);
    if (at >= 0) return [...path.slice(at), node];
    if (done.has(node)) return undefined;
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next, [...path, node]);
      if (cycle) return cycle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of edges.keys()) {
    const cycle = visit(node, []);
    if (cycle) return cycle;
  }
  return undefined;
}

const sources = sourcesBelow(parts);
const code = sources.filter(({ path }) => path.endsWith('.ts') && !path.endsWith('.test.ts'));

describe('the house', () => {
  it('has sources to judge', () => {
    expect(code.length).toBeGreaterThan(50);
    expect(code.flatMap((source) => importsOf(source, { typesToo: true })).length).toBeGreaterThan(
      100,
    );
  });

  it('imports downward only: cli, attacher, builder, analyzer, native', () => {
    const upward = code.flatMap((source) => {
      const from = parts.indexOf(source.path.split('/')[0] ?? '');
      return importsOf(source, { typesToo: true })
        .filter((target) => parts.indexOf(target.split('/')[0] ?? '') < from)
        .map((target) => `${source.path} imports ${target}`);
    });
    expect(upward).toEqual([]);
  });

  it('has no cycle between files at run time', () => {
    const edges = new Map(
      code.map((source) => [source.path, new Set(importsOf(source, { typesToo: false }))]),
    );
    expect(findCycle(edges)).toBeUndefined();
  });

  it('has no cycle between features at run time', () => {
    const edges = new Map<string, Set<string>>();
    for (const source of code) {
      const from = featureOf(source.path);
      const targets = edges.get(from) ?? new Set();
      edges.set(from, targets);
      for (const target of importsOf(source, { typesToo: false })) {
        if (featureOf(target) !== from) targets.add(featureOf(target));
      }
    }
    expect(findCycle(edges)).toBeUndefined();
  });

  it('has no file of more than 400 lines', () => {
    const long = [...sources, ...sourcesBelow(['test'])]
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });

  it('names files in kebab-case, and none of them utils', () => {
    const odd = sources
      .map(({ path }) => relative('.', path))
      .filter((path) => !/^[a-z0-9./-]+$/.test(path) || /\b(utils?|helpers?|misc)\b/.test(path));
    expect(odd).toEqual([]);
  });
});

describe('findCycle', () => {
  it('finds one, and none where there is none', () => {
    const edges = (list: [string, string[]][]): Map<string, Set<string>> =>
      new Map(list.map(([from, to]) => [from, new Set(to)]));
    expect(
      findCycle(
        edges([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b']);
    expect(
      findCycle(
        edges([
          ['a', ['b', 'c']],
          ['b', ['c']],
        ]),
      ),
    ).toBeUndefined();
  });
});
