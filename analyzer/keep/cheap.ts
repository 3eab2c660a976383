import type { Node } from '../image/types.js';
import type { Keeper } from './keeper.js';
import { glob } from './tree-walk.js';

/** Small files of the base system that programs and people look for in every image. */
const essentials = [
  'passwd group shadow gshadow subuid subgid hosts hostname resolv.conf host.conf gai.conf',
  'nsswitch.conf ld.so.conf ld.so.conf.d/* ld.so.cache ld.so.preload ld-musl-*.path os-release',
  'debian_version alpine-release redhat-release system-release fedora-release lsb-release',
  'localtime timezone machine-id environment',
]
  .flatMap((line) => line.split(' '))
  .map((name) => `/etc/${name}`)
  .concat('/usr/lib/os-release');

/** Name tables that getservbyname(3) and getprotobyname(3) read; above strict. */
const nameTables = ['/etc/services', '/etc/protocols', '/etc/rpc', '/etc/networks', '/etc/shells'];

/** Keep the essential small files; before the closure, which works on what they lead to. */
export function keepEssentials(keeper: Keeper): void {
  const patterns = keeper.policy === 'strict' ? essentials : [...essentials, ...nameTables];
  for (const pattern of patterns)
    for (const path of glob(keeper.tree, pattern))
      keeper.keep(path, { kind: 'cheap', what: 'small system file' });
}

/**
 * Keep what costs next to nothing and is missed if it goes: directories, empty files, devices, FIFOs,
 * symlinks to kept files and directories, symlinks that dangle in the source too (into /proc, /dev,
 * volumes). After the closure, to which none of them matters. A symlink to a removed file goes with it.
 */
export function keepCheap(keeper: Keeper): void {
  const symlinks: Node[] = [];
  for (const node of keeper.tree.nodes()) {
    if (keeper.isKept(node.path)) continue;
    if (node.kind === 'symlink') symlinks.push(node);
    else if (node.kind === 'dir') cheap(keeper, node, 'directory');
    else if (node.kind !== 'file') cheap(keeper, node, node.kind === 'fifo' ? 'FIFO' : 'device');
    else if (node.inode.size === 0) cheap(keeper, node, 'empty file');
  }
  for (const node of symlinks) {
    const target = keeper.tree.resolve(node.path).node;
    if (target === undefined) cheap(keeper, node, 'symlink that dangles in the source as well');
    else if (target.kind === 'dir') cheap(keeper, node, 'symlink to a directory');
    else if (keeper.isKept(target.path)) cheap(keeper, node, `symlink to ${target.path}`);
  }
}

function cheap(keeper: Keeper, node: Node, what: string): void {
  keeper.add(node, { kind: 'cheap', what }, { expand: false });
}
