import { accessSync, constants, fstatSync } from 'node:fs';
import { PageCopier, type MappedFile } from '../../../native/linux/page-copier.js';
import { SystemError } from '../../../native/linux/system-error.js';
import { Transfer } from '../block/request.js';
import { mostRequests, type IoEngine, type Step } from './io-engine.js';

/** Image files up to this size are mapped: what is touched of them counts as memory of ours. */
const largestMapped = 256 * 2 ** 20;

/**
 * Reads of what is in the page cache, or of an image in memory, are copied out of a mapping, which
 * costs a third of what the kernel takes to read it; everything else, and what turns out not to be
 * there, is left to another engine.
 */
export class CachedReads implements IoEngine {
  readonly #engine: IoEngine;
  readonly #image: MappedFile;
  readonly #copier: PageCopier;
  /** Steps to be copied, in order; their pieces are the copier's. */
  readonly #started: Step[] = [];
  /** Of steps that are copied: tags, until they are told. */
  readonly #copied = new Uint16Array(mostRequests);
  readonly #lengths = new Float64Array(mostRequests);
  #done = 0;
  /** Steps that the other engine has. */
  #elsewhere = 0;
  #callback: (tag: number, result: number) => void = () => undefined;
  readonly #onElsewhere = (tag: number, result: number) => {
    this.#elsewhere--;
    this.#callback(tag, result);
  };

  private constructor(engine: IoEngine, image: MappedFile, copier: PageCopier) {
    this.#engine = engine;
    this.#image = image;
    this.#copier = copier;
  }

  /** `engine`, with reads of `image` made cheaper where that can be. */
  static over(engine: IoEngine, image: MappedFile | undefined): IoEngine {
    const copier = image && openCopier(image);
    return image && copier ? new CachedReads(engine, image, copier) : engine;
  }

  get name(): IoEngine['name'] {
    return this.#engine.name;
  }

  get fd(): number | undefined {
    return this.#engine.fd;
  }

  get slow(): boolean {
    return this.#engine.slow;
  }

  start(step: Step): void {
    const { position, stepLength } = step;
    const mapped = step.transfer === Transfer.read && step.fd === this.#image.fd;
    const inside = position + stepLength <= this.#image.size;
    if (mapped && inside && this.#copier.count + step.segments <= PageCopier.most) {
      this.#add(step);
    } else {
      this.#startElsewhere(step);
    }
  }

  submit(wait: boolean): void {
    if (this.#started.length > 0) this.#copy();
    if (this.#elsewhere > 0) this.#engine.submit(wait && this.#done === 0);
  }

  complete(callback: (tag: number, result: number) => void): void {
    const done = this.#done;
    this.#done = 0;
    for (let n = 0; n < done; n++) callback(this.#copied[n] ?? 0, this.#lengths[n] ?? 0);
    if (this.#elsewhere === 0) return;
    this.#callback = callback;
    this.#engine.complete(this.#onElsewhere);
  }

  close(): void {
    this.#engine.close();
    this.#copier.close();
  }

  #startElsewhere(step: Step): void {
    this.#elsewhere++;
    this.#engine.start(step);
  }

  /** The pieces of a step: its buffers from `done` on, for `stepLength` bytes. */
  #add(step: Step): void {
    const { segments, hostAddresses, lengths } = step;
    let skip = step.done;
    let { position, stepLength: left } = step;
    for (let n = 0; n < segments && left > 0; n++) {
      const length = lengths[n] ?? 0;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const part = Math.min(length - skip, left);
      this.#copier.add((hostAddresses[n] ?? 0) + skip, position, part);
      position += part;
      left -= part;
      skip = 0;
    }
    this.#started.push(step);
  }

  #copy(): void {
    const copier = this.#copier;
    copier.run();
    let index = 0;
    for (const step of this.#started) {
      let whole = true;
      let left = step.stepLength;
      let skip = step.done;
      for (let n = 0; left > 0; n++) {
        const length = step.lengths[n] ?? 0;
        if (skip >= length) {
          skip -= length;
          continue;
        }
        whole = copier.copied(index++) && whole;
        left -= length - skip;
        skip = 0;
      }
      if (whole) {
        this.#copied[this.#done] = step.tag;
        this.#lengths[this.#done++] = step.stepLength;
      } else this.#startElsewhere(step);
    }
    this.#started.length = 0;
  }
}

/** A copier for `image`, if it can be mapped and the kernel tells us what is in the page cache. */
function openCopier(image: MappedFile): PageCopier | undefined {
  const { fd, size, inMemory } = image;
  if (!inMemory && (size > largestMapped || !toldOfResidency(fd))) return undefined;
  try {
    return PageCopier.open(image);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return undefined; // not every file system has mappings
  }
}

/** mincore(2) tells the truth only to who owns the file or may write to it; others hear that all is there. */
function toldOfResidency(fd: number): boolean {
  if (process.geteuid?.() === fstatSync(fd).uid) return true;
  try {
    accessSync(`/proc/self/fd/${fd}`, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
