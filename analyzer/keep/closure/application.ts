import { baseName, parentOf, type ImagePath } from '../../image/path.js';
import { filesBelow } from '../tree-walk.js';
import { notStrict, type ClosureContext, type ClosureRule, type Seed } from './rule.js';

/** Directories of the distribution, where an application is mixed with everything else. */
const system =
  /^\/(?:$|(?:bin|boot|dev|etc|lib\w*|media|mnt|proc|root|run|sbin|sys|tmp|var|home|opt|srv|usr)(?:$)|(?:usr|etc|lib\w*|bin|sbin|proc|sys|dev|run|tmp)\/)|^\/var\/(?:lib|log|cache|run|tmp|spool)(?:\/|$)/;

/** Not part of an application, or looked after by a rule of its language. */
const skipped = new Set([
  '.git',
  '.hg',
  '.svn',
  'node_modules',
  '.venv',
  'venv',
  '__pycache__',
  '.cache',
]);

/** Where web servers keep the pages that they serve. */
const documentRoots = [
  '/var/www',
  '/srv/www',
  '/usr/share/nginx/html',
  '/usr/local/apache2/htdocs',
  '/usr/share/caddy',
];

/**
 * What the image's author put into WORKDIR is the application: its untraced templates and data files
 * stay, and so does what lies in a web server's document root of which anything was used.
 * Volumes stay as well, as an engine copies them into a fresh volume.
 */
export function applicationRule(): ClosureRule {
  return {
    name: 'application',
    policies: notStrict,
    seeds(context) {
      const { workingDirectory, volumes } = context.environment;
      const used = Object.keys(context.trace.paths);
      const served = documentRoots.filter((root) =>
        used.some((path) => path.startsWith(`${root}/`)),
      );
      return [
        ...served.flatMap((root) => below(context, root, 'document root')),
        ...(system.test(workingDirectory) ? [] : below(context, workingDirectory, 'WORKDIR')),
        ...volumes
          .filter((volume) => volume !== '/' && !/^\/(?:usr|etc|bin|lib\w*|sbin)$/.test(volume))
          .flatMap((volume) => below(context, volume, 'VOLUME')),
      ];
    },
  };
}

function below({ tree, packages }: ClosureContext, dir: ImagePath, origin: string): Seed[] {
  const root = tree.resolve(dir).node;
  return [...filesBelow(root, (child) => !isSkipped(child.path))]
    .filter(({ path }) => packages.ownerOf(path) === undefined)
    .map(({ path }) => ({ path, reason: { kind: 'rule', pattern: dir, origin } }));
}

/** True for directories that {@link skipped} names, and for a Python environment of any name. */
function isSkipped(path: ImagePath): boolean {
  return skipped.has(baseName(path)) || /^lib(?:64)?$/.test(baseName(parentOf(path)));
}
