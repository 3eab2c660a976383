// node build-once.js LAYOUT DIR: one build as the command line does it, without its workload, every
// third file kept; prints what it took as JSON. A process of its own, so that its memory can be told.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openImage } from '../../dist/analyzer/transport/open-image.js';
import { Workspace } from '../../dist/analyzer/workspace/workspace.js';
import { buildParts } from '../../dist/builder/build-parts.js';

const [layout, dir] = process.argv.slice(2);
const workspace = await Workspace.create(dir);
const startedAt = performance.now();
const image = await openImage(`oci:${layout}`, { workspace });
const secondsOpen = (performance.now() - startedAt) / 1000;
const files = [...image.tree.nodes()].filter(({ kind }) => kind === 'file');
const kept = files.filter((_, index) => index % 3 === 0);
const reason = { kind: 'rule', pattern: 'bench', origin: 'bench' };
const { overlay } = await buildParts(
  image,
  {
    keepSet: { policy: 'strict', reasons: new Map(kept.map(({ path }) => [path, reason])) },
    rewrites: [],
  },
  {
    overlay: 'squashfs',
    overlayFile: join(dir, 'overlay.squashfs'),
    squash: false,
    compression: 'gzip',
  },
  { workspace, signal: new AbortController().signal },
  () => undefined,
);
const seconds = (performance.now() - startedAt) / 1000;
await workspace.dispose();
writeFileSync(join(dir, 'kept.list'), kept.map(({ path }) => path.slice(1)).join('\n'));
console.log(
  JSON.stringify({
    seconds,
    secondsOpen,
    keptBytes: kept.reduce((sum, { inode }) => sum + inode.size, 0),
    uncompressed: image.layers.reduce((sum, { size }) => sum + size, 0),
    overlayBytes: overlay.size,
    peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
