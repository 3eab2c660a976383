import { existsSync, mkdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { chooseSocketPlace, makeSocketPlace, removeSocketPlace } from '../hot-plug/lent-socket.js';
import {
  gdbSessions,
  removeRecord,
  requireNewName,
  writeRecord,
  type GdbRecord,
} from './journal.js';
import { doorBy, forgetDoor } from './stub-door.js';

const id = `journal-test-${process.pid}`;
const door = doorBy({ path: '/qmp' });
const self = { pid: process.pid, started: startTimeOf(process.pid) ?? '' };

/**
 * A session with a disk that we serve, in the machine of a process that started then, and whose stub
 * was opened by its monitor.
 */
function note(started: string, prefix = ''): NonNullable<NonNullable<GdbRecord['disk']>['socket']> {
  const { directory: seen } = chooseSocketPlace(process.pid);
  makeSocketPlace({ directory: seen, seen });
  mkdirSync(door.directory, { recursive: true });
  const socket = { directory: `${prefix}${seen}`, seen };
  writeRecord({
    ...{ version: 2, id, owner: self, machine: { pid: process.pid, started }, image: '/image' },
    ...{ door, schedule: '0' },
    disk: { monitor: { path: '/qmp' }, device: 'debloat-x', node: 'debloat-x', socket },
  });
  return socket;
}

it('keeps the places of sockets as long as the machine lives, and removes them afterwards', () => {
  const places = [note(self.started)];
  try {
    const [session] = gdbSessions(process.pid).filter(({ record }) => record.id === id);
    expect(session?.record.disk?.socket).toEqual(places[0]);
    expect(() => requireNewName(id)).toThrow('exists already');
    removeRecord(id);
    requireNewName(id);
    expect(existsSync(door.directory)).toBe(true);
    // Of a process that had our number before us, and of one whose root went with it.
    for (const prefix of ['', '/proc/0/root']) {
      const later = note('0', prefix);
      places.push(later);
      expect(gdbSessions().some(({ record }) => record.id === id)).toBe(false);
      expect(existsSync(later.seen)).toBe(false);
      expect(existsSync(door.directory)).toBe(false);
    }
  } finally {
    removeRecord(id);
    places.forEach(removeSocketPlace);
    forgetDoor(door);
  }
});
