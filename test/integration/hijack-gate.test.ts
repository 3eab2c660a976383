import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { layoutArena, pageSize } from '../../attacher/hijack/arena.js';
import { findGadgets } from '../../attacher/hijack/inject/gadgets.js';
import type { Gate } from '../../attacher/hijack/inject/gate.js';
import { StoppedThread } from '../../attacher/hijack/inject/stopped-thread.js';
import { readGate } from '../../attacher/hijack/prepare.js';
import { createArena, createEvents } from '../../attacher/hijack/resources.js';
import { readMemoryMap } from '../../native/linux/memory-map.js';
import { openProcess, takeDescriptor } from '../../native/linux/process-memory.js';
import { RemoteMemory } from '../../native/linux/remote-memory.js';
import { TracedThread } from '../../native/linux/traced-thread.js';

/*
 * What makes calls in a hypervisor when its own threads go on already, in a process that is none: cat.
 */
const EINTR = -4n;
const NR_close = 3;
const NR_dup = 32;
const NR_gettid = 186;

const children: ChildProcessWithoutNullStreams[] = [];
afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')));

/** A process in which a thread is at the gate; `echoes` fails where it does not go on. */
async function atGate(command: [string, ...string[]], uid?: number) {
  const [program, ...args] = command;
  const child = spawn(program, args, uid === undefined ? {} : { uid });
  children.push(child);
  const echoes = async () => {
    child.stdin.write('still here\n');
    expect(String(await once(child.stdout, 'data'))).toBe('still here\n');
  };
  await echoes();
  const pid = child.pid ?? 0;
  const threads = () => readdirSync(`/proc/${pid}/task`).length;
  const files = () => readdirSync(`/proc/${pid}/fd`).length;
  await sleep(50); // it reads again
  const memory = new RemoteMemory(pid);
  const gadgets = findGadgets(readMemoryMap(pid), (at, length) => memory.read(at, length));
  if (gadgets === undefined) throw new Error('no gadgets');
  const pidfd = openProcess(pid);
  const host = {
    gate: undefined as Gate | undefined,
    take: (fd: number) => takeDescriptor(pidfd, fd),
  };
  const layout = layoutArena(pageSize);
  const traced = TracedThread.stop(pid, pid, { suspendSeccomp: false });
  const saved = traced.registers().with({ rax: EINTR });
  const thread = StoppedThread.of(traced, { pid, memory, gadgets, filtered: false }, saved);
  const arena = createArena(host, thread, {
    ...{ id: 'gate', owner: { pid: process.pid, started: '0' }, image: '', deviceId: 0, layout },
    ...{ guestAddresses: [], virtualAddress: 0n, takenSlots: [], lines: () => [] },
    ...{ gateCode: readGate(), onStep: () => undefined },
  });
  const events = () => createEvents(host, thread, arena, () => undefined);
  const caller = () => thread.call('gettid', NR_gettid, []);
  return {
    pid,
    thread,
    threads,
    files,
    echoes,
    events,
    caller,
    isThere: () => host.gate?.hasDeputy,
  };
}

it('has calls made by a thread of ours while the process’s own goes on', async () => {
  const { pid, thread, threads, echoes, events, caller, isThere } = await atGate(['cat']);
  expect(caller()).toBe(pid);
  thread.deputize();
  expect(caller()).not.toBe(pid);
  expect(threads()).toBe(2);
  await echoes();
  expect(Object.keys(events())).toEqual(['notify', 'acknowledge', 'status', 'interrupt']);
  expect(isThere()).toBe(true);
  thread.resume();
  expect(isThere()).toBe(false);
  expect(threads()).toBe(1);
  await echoes();
});

it('makes several calls in one go, up to the first that fails', async () => {
  const { thread, files, echoes } = await atGate(['cat']);
  const before = files();
  const dup = { name: 'dup', number: NR_dup, args: [0] };
  const fails = { name: 'close', number: NR_close, args: [-1] };
  expect(() => thread.ask([dup, dup, fails, dup])).toThrow('close: EBADF');
  expect(files()).toBe(before + 2);
  thread.resume();
  await echoes();
});

it('ends by itself when nobody tells it what to do', async () => {
  const { thread, threads, echoes, caller, isThere } = await atGate(['cat']);
  thread.deputize();
  expect(isThere()).toBe(true);
  await sleep(1500);
  expect(isThere()).toBe(false);
  expect(threads()).toBe(1);
  expect(caller).toThrow('ETIMEDOUT');
  await echoes();
});

it('stays where there can be no more threads', async () => {
  const nobody = 65534;
  const command: [string, ...string[]] = ['prlimit', '--nproc=1', 'cat'];
  const { pid, thread, threads, echoes, caller, isThere } = await atGate(command, nobody);
  thread.deputize();
  expect(caller()).toBe(pid);
  expect(isThere()).toBe(false);
  expect(threads()).toBe(1);
  thread.resume();
  await echoes();
});
