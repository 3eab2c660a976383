import { describe, expect, it } from 'vitest';
import { FrameType } from '../guest/session-frames.js';
import type { Channel } from './channel.js';
import { loadModules } from './load-modules.js';

const modules = [{ name: 'virtio', bytes: Uint8Array.of(1, 2, 3) }];

/** A stage 2 that answers with these frames, and ends. */
function answering(...frames: [number, Uint8Array][]) {
  const chunks = frames.map(([type, payload]) =>
    Buffer.concat([Buffer.from([type, 0, payload.length, 0]), payload]),
  );
  const told: Uint8Array[] = [];
  let closed = false;
  const channel: Channel = {
    write: (bytes) => Promise.resolve(void told.push(bytes)),
    read: () => Promise.resolve(chunks.shift()),
    close: () => (closed = true),
  };
  return { channel, told, isClosed: () => closed };
}

describe('modules', () => {
  it('are sent, and are there when stage 2 ends well', async () => {
    const guest = answering([FrameType.exit, Buffer.alloc(4)]);
    await loadModules(guest.channel, modules);
    expect(Buffer.concat(guest.told).subarray(0, 7)).toEqual(
      Buffer.from([FrameType.module, 0, 3, 0, 1, 2, 3]),
    );
    expect(guest.isClosed()).toBe(true);
  });

  it('that the kernel refuses are told of, by what it said', async () => {
    const errno = Buffer.alloc(4);
    errno.writeInt32LE(-8);
    const what = Buffer.from('load the module virtio');
    const guest = answering([FrameType.failed, Buffer.concat([errno, what])]);
    await expect(loadModules(guest.channel, modules)).rejects.toThrow(
      /^The guest’s kernel did not load the module virtio: /,
    );
    expect(guest.isClosed()).toBe(true);
  });

  it('are not waited for without end', async () => {
    await expect(loadModules(answering().channel, modules)).rejects.toThrow('ended before');
    const silent = answering();
    silent.channel.read = () => new Promise(() => undefined);
    await expect(loadModules(silent.channel, modules, 10)).rejects.toThrow('has not loaded');
    expect(silent.isClosed()).toBe(true);
  });
});
