import { readFileSync } from 'node:fs';
import { DebloatError } from '../../analyzer/errors.js';
import { gatePath, guestStagePath } from '../../native/guest-stage.js';
import { findRunningKernel, type GuestKernel, type PagingRegisters } from '../guest/index.js';
import type { ModuleFile } from '../guest/session-frames.js';
import { link, type LinkedImage } from '../guest/linker/link.js';
import type { SessionPages } from '../guest/session-pages.js';
import type { VirtualMachine } from '../hypervisor/index.js';
import { findFreeEntry, type FreeEntry } from './address-space.js';
import { imageAddress, layoutArena, pageSize, type ArenaLayout } from './arena.js';
import { arenaPlaces } from './places.js';

/** EFER.NXE: the guest's page tables may forbid execution. */
const EFER_NXE = 0x800n;

/** All that will be done to a VM, worked out before anything is touched. */
export interface AttachPlan {
  kernel: GuestKernel;
  /** By which a processor translated when it was looked at. */
  registers: PagingRegisters;
  /** Stage 1, linked for its place. */
  stage: LinkedImage;
  layout: ArenaLayout;
  /** Where a session's parts are, after the stage's image; undefined for a disk alone. */
  session: SessionPages | undefined;
  /** The page-table entry that the arena is hung in. */
  entry: FreeEntry;
  /** Where its memory may lie for the guest, in the order to be tried. */
  guestAddresses: number[];
  noExecute: boolean;
  /** What a thread of the hypervisor is sent through. */
  gateCode: Uint8Array | undefined;
}

/**
 * Work out an attach: kernel, symbols, stage, places. Reads the guest's memory and one processor's
 * registers, and changes nothing. Throws Refusal or DebloatError where it cannot be done.
 */
export function preparePlan(
  machine: VirtualMachine,
  options: { cacheDirectory?: string | undefined; session?: SessionPages | undefined },
): AttachPlan {
  machine.checkInterrupts();
  const { memory } = machine;
  const { kernel, registers } = findRunningKernel(memory, () => machine.anyRegisters(), options);
  const entry = findFreeEntry(memory, kernel.pageTables);
  const place = { guestAddress: 0, virtualAddress: entry.virtualAddress };
  const stage = link(readStage(), imageAddress(place), kernel.symbols);
  return {
    ...{ kernel, registers, stage, entry, session: options.session },
    layout: layoutArena(stage.image.length + (options.session?.size ?? 0)),
    guestAddresses: arenaPlaces(memory.regions),
    noExecute: (registers.efer & EFER_NXE) !== 0n,
    gateCode: readGate(),
  };
}

function readStage(): Uint8Array {
  const path = guestStagePath();
  if (path === undefined) {
    throw new DebloatError('The guest stage is missing: it is built on x86-64 machines only.', {
      hint: 'npm run build, on an x86-64 machine',
    });
  }
  return readFileSync(path);
}

/** The gate's code, which is the same wherever it lies; undefined where it was not built. */
export function readGate(): Uint8Array | undefined {
  const path = gatePath();
  if (path === undefined) return undefined;
  return link(readFileSync(path), BigInt(pageSize), new Map()).image.subarray(0, pageSize);
}

/** The plan for people, with the modules that the guest gets first (`--dry-run`): what would be done, in order. */
export function describePlan(
  plan: AttachPlan,
  machine: VirtualMachine,
  modules: readonly ModuleFile[] = [],
): string[] {
  const { kernel, stage, layout, entry, guestAddresses } = plan;
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  return [
    `${machine.name}, process ${machine.pid}, ${machine.vcpus.length} processors; Linux ${kernel.version}`,
    `stop one processor's thread and, on the hypervisor's behalf, create and map ${layout.fileSize} bytes of shared memory and 4 events`,
    `add ${layout.ramPages} pages of guest memory, the first free place of ${guestAddresses.slice(0, 2).map(hex).join(', ')} …, and one read-only page of registers`,
    'have writes to QueueNotify, InterruptACK and Status signal events; find a free interrupt line, else poll',
    `write the guest stage (${stage.image.length} bytes, ${stage.imports.length} kernel functions) and hang it into the kernel's page tables: entry ${hex(entry.address)}, for ${hex(entry.virtualAddress)}`,
    ...(modules.length === 0
      ? []
      : [
          `have a program in the guest load modules: ${modules.map(({ name }) => name).join(', ')}`,
        ]),
    'serve the image, then send one processor through the stage, which queues its work and returns',
    'the stage adds a virtio-mmio device; nothing is stopped or traced from then on',
  ];
}
