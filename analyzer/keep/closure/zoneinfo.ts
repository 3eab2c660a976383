import { baseName, joinPath } from '../../image/path.js';
import { filesBelow } from '../tree-walk.js';
import { always, type ClosureRule } from './rule.js';

const root = '/usr/share/zoneinfo';

/** Programs whose users name time zones at run time: SQL's AT TIME ZONE, zoneinfo.ZoneInfo(…), date(1) -d. */
const namingPrograms =
  /^(?:postgres|mysqld|mariadbd|mongod|influxd|python3(?:\.\d+)?|ruby\d?(?:\.\d+)?|php(?:-fpm|-cgi)?[\d.]*|libphp[\d.]*\.so|perl|beam\.smp|java)$/;

/**
 * tzdata: the zone of TZ always; the whole database (without its `right` variant, that counts leap
 * seconds) above strict if a zone other than the local one was used or a program of the kind that lets
 * its users name zones is kept, and everywhere at safe.
 */
export function zoneinfoRule(): ClosureRule {
  return {
    name: 'zoneinfo',
    policies: always,
    seeds({ environment }) {
      const zone = environment.variables.get('TZ')?.replace(/^:/, '');
      if (zone === undefined || !/^[\w+-]+(?:\/[\w+-]+)*$/.test(zone)) return [];
      return [
        { path: joinPath(root, zone), reason: { kind: 'rule', pattern: zone, origin: 'TZ' } },
      ];
    },
    expand(node, context) {
      if (context.policy === 'strict') return [];
      const local = context.tree.resolve('/etc/localtime').node?.path;
      const isOtherZone =
        node.path.startsWith(`${root}/`) &&
        node.path !== local &&
        context.reasonOf(node.path)?.kind === 'traced' &&
        node.kind === 'file';
      const all =
        context.policy === 'safe' && /^(?:libc\.so\.6|ld-musl-.*)$/.test(baseName(node.path));
      if (!isOtherZone && !all && !namingPrograms.test(baseName(node.path))) return [];
      const database = filesBelow(context.tree.get(root), (dir) => baseName(dir.path) !== 'right');
      return [...database]
        .filter(({ path }) => !path.startsWith(`${root}/right/`))
        .map(({ path }) => ({ path, rule: 'time zones for' }));
    },
  };
}
