import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startTimeOf } from '../../analyzer/workspace/processes.js';
import { chooseSocketPlace, makeSocketPlace, removeSocketPlace } from '../hot-plug/lent-socket.js';
import { gdbSessions, removeRecord, writeRecord, type GdbRecord } from './journal.js';

const id = `journal-test-${process.pid}`;
const self = { pid: process.pid, started: startTimeOf(process.pid) ?? '' };

/** A session with a disk that we serve, in the machine of a process that started then. */
function note(started: string): NonNullable<NonNullable<GdbRecord['disk']>['socket']> {
  const socket = chooseSocketPlace(process.pid);
  makeSocketPlace(socket);
  writeRecord({
    ...{ version: 1, id, owner: self, machine: { pid: process.pid, started }, image: '/image' },
    door: { stub: { path: '/stub' } },
    functions: { schedule: '0', panic: '0', allocatePages: '0', freePages: '0' },
    disk: { monitor: { path: '/qmp' }, device: 'debloat-x', node: 'debloat-x', socket },
    ...{ control: 0, enqueue: '0' },
  });
  return socket;
}

it('keeps where a disk’s socket is as long as the machine lives, and removes that afterwards', () => {
  const places = [note(self.started)];
  try {
    const [session] = gdbSessions(process.pid).filter(({ record }) => record.id === id);
    expect(session?.record.disk?.socket).toEqual(places[0]);
    removeRecord(id);
    const later = note('0'); // of a process that had our number before us
    places.push(later);
    expect(gdbSessions().some(({ record }) => record.id === id)).toBe(false);
    expect(existsSync(later.directory)).toBe(false);
  } finally {
    removeRecord(id);
    places.forEach(removeSocketPlace);
  }
});
