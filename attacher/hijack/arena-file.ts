import { closeDescriptor } from '../../native/linux/event.js';
import { Mapping } from '../../native/linux/mapping.js';
import { pageSize } from './arena.js';
import { Journal } from './journal.js';

/** Our side of an arena: the file that the hypervisor made, mapped here. */
export class ArenaFile implements Disposable {
  readonly bytes: Uint8Array;
  readonly journal: Journal;
  readonly #mapping: Mapping;

  /** `fd` is ours from now on. */
  constructor(
    readonly fd: number,
    size: number,
  ) {
    this.#mapping = Mapping.ofFile(fd, { offset: 0, length: size, writable: true });
    this.bytes = this.#mapping.bytes(0, size);
    this.journal = new Journal(this.bytes.subarray(0, pageSize));
  }

  /** Where it is in this process. */
  get address(): number {
    return this.#mapping.address;
  }

  [Symbol.dispose](): void {
    this.#mapping.close();
    closeDescriptor(this.fd);
  }
}
