import type { MappedFile } from '../../../native/linux/page-copier.js';
import { RequestType, sectorSize } from '../block/protocol.js';
import { Transfer, type BlockRequest } from '../block/request.js';
import type { Disk } from './disk.js';
import type { FileDisk } from './file-disk.js';
import type { SessionFile } from './session-file.js';

/**
 * An image that can be written to and is never touched: writes go to the session, reads come from
 * it where something was written. By sectors, so that no write needs to read first.
 */
export class SessionDisk implements Disk {
  readonly readOnly = false;
  readonly sectors: number;
  readonly source: MappedFile;

  constructor(
    private readonly image: FileDisk,
    private readonly session: SessionFile,
  ) {
    this.source = image.source;
    this.sectors = image.sectors;
  }

  next(request: BlockRequest): boolean {
    const { fd, written } = this.session;
    if (request.type === RequestType.discard || request.type === RequestType.writeZeroes) {
      return request.rangeStep(fd);
    }
    const left = request.length - request.done;
    if (left === 0) return false;
    const position = request.offset + request.done;
    switch (request.type) {
      case RequestType.in: {
        const sector = Math.floor(position / sectorSize);
        const end = written.runEnd(sector, (request.offset + request.length) / sectorSize);
        const run = end * sectorSize - position;
        return written.has(sector)
          ? request.step(Transfer.read, fd, position, run)
          : this.image.readStep(request, position, run);
      }
      case RequestType.out:
        return request.step(Transfer.write, fd, position, left);
      default:
        return request.step(Transfer.sync, fd, 0, left);
    }
  }

  /** A sector counts as written when its last byte is. */
  transferred(request: BlockRequest, bytes: number): void {
    if (request.transfer === Transfer.read || request.transfer === Transfer.sync) return;
    const from = Math.floor(request.position / sectorSize);
    this.session.written.add(from, Math.floor((request.position + bytes) / sectorSize));
  }

  close(): void {
    this.image.close();
    this.session.close();
  }
}
