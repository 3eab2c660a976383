import { bytes, count } from '../../analyzer/report/format.js';
import type { InspectedRegion, InspectedVcpu, Inspection } from './inspection.js';

/** An inspection as lines of text. */
export function renderInspection(inspection: Inspection): string {
  const { pid, hypervisor, vcpus, memory, kernel, obstacles } = inspection;
  const rows: [string, string][] = [
    ['hypervisor', [hypervisor.name, hypervisor.version].filter(Boolean).join(' ')],
    ['process', `${pid}`],
    ...vcpus.map((vcpu): [string, string] => [`vCPU ${vcpu.index}`, renderVcpu(vcpu)]),
    ['interrupts', interrupts[inspection.interruptController]],
    ...(memory?.regions ?? []).map((region): [string, string] => ['memory', renderRegion(region)]),
    ...(memory?.verified === false
      ? [['', 'a guess: the guest’s page tables do not tell'] as [string, string]]
      : []),
    ...(kernel
      ? ([
          ['kernel', `Linux ${kernel.version} at ${hex(kernel.textStart)}`],
          ['build id', kernel.buildId ?? 'none'],
          ['symbols', `${count(kernel.symbols.size)} exported`],
          ['paging', `${kernel.pagingLevels} levels`],
        ] as [string, string][])
      : []),
    ['attach', obstacles.length === 0 ? 'possible' : 'not possible'],
    ...obstacles.flatMap(({ message, hint }): [string, string][] => [
      ['', message],
      ...(hint === undefined ? [] : [['', `  hint: ${hint}`] as [string, string]]),
    ]),
    ...(obstacles.length === 0
      ? attachSteps(inspection).map((step, n): [string, string] => ['', `${n + 1}. ${step}`])
      : []),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

/** An inspection for programs. Addresses are hexadecimal strings, sizes are numbers. */
export function serializeInspection(inspection: Inspection): string {
  const { vcpus, memory, kernel, obstacles, ...rest } = inspection;
  const result = {
    ...rest,
    vcpus: vcpus.map(({ index, fd, tid, registers }) => ({
      index,
      fd,
      tid,
      mode: registers && (registers.cs.privilege === 0 ? 'kernel' : 'user'),
      rip: registers && hex(registers.rip),
      cr3: registers && hex(registers.cr3),
    })),
    memory: memory && {
      verified: memory.verified,
      regions: memory.regions.map(({ guestAddress, size, userAddress, access }) => ({
        guestAddress: hex(guestAddress),
        size,
        userAddress: hex(userAddress),
        access,
      })),
    },
    kernel: kernel && {
      version: kernel.version,
      buildId: kernel.buildId,
      textStart: hex(kernel.textStart),
      pagingLevels: kernel.pagingLevels,
      exportedSymbols: kernel.symbols.size,
    },
    attach: { possible: obstacles.length === 0, obstacles, steps: attachSteps(inspection) },
  };
  return `${JSON.stringify(result, undefined, 2)}\n`;
}

/** What an attach would do, in its order. */
export function attachSteps({ interruptController }: Inspection): string[] {
  const line = hasLine(interruptController);
  return [
    'link the guest stage against the kernel’s exported symbols; nothing is touched yet',
    'stop one vCPU thread for about 2 ms and make system calls in it: shared memory as two more memory slots, eventfds as doorbells' +
      (line ? ' and as an interrupt line' : ''),
    'have one vCPU of the guest queue a work item, which adds a virtio block device' +
      (line ? '' : ' that is polled, for there is no interrupt line to be had'),
    'serve the device from here; no thread of the hypervisor is traced any more',
  ];
}

function hasLine(controller: Inspection['interruptController']): boolean {
  return controller === 'kernel' || controller === 'unknown';
}

const interrupts: Record<Inspection['interruptController'], string> = {
  kernel: 'routed by KVM',
  split: 'local APICs by KVM, the rest by the hypervisor',
  hypervisor: 'routed by the hypervisor',
  unknown: 'not known before an attach',
};

function renderVcpu({ tid, fd, registers }: InspectedVcpu): string {
  const state =
    registers === undefined
      ? 'registers not readable'
      : registers.cs.privilege === 0
        ? `in the kernel at ${hex(registers.rip)}`
        : `in user mode at ${hex(registers.rip)}`;
  return `${tid === 0 ? 'no thread runs it' : `thread ${tid}`}, descriptor ${fd}, ${state}`;
}

const accesses: Record<InspectedRegion['access'], string> = {
  mapped: 'shared',
  copied: 'private to the hypervisor',
  file: 'reached through /proc',
};

function renderRegion({ guestAddress, size, access }: InspectedRegion): string {
  const end = guestAddress + size - 1;
  return `${hex(guestAddress)}–${hex(end)} (${bytes(size)}), ${accesses[access]}`;
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
