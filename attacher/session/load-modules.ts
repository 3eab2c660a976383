import { setTimeout as sleep } from 'node:timers/promises';
import { DebloatError } from '../../analyzer/errors.js';
import { loadFrames, SessionDecoder, type ModuleFile } from '../guest/session-frames.js';
import type { Channel } from './channel.js';
import { sentenceOf } from './conversation.js';

/** How long the guest may take for all of them, in milliseconds. */
const patience = 60_000;

/**
 * Have stage 2 at the other end of `channel` load `modules`, in this order. Throws DebloatError with
 * what the kernel said of one that it refused. The channel is closed then, whatever happens.
 */
export async function loadModules(
  channel: Channel,
  modules: readonly ModuleFile[],
  time = patience,
): Promise<void> {
  const waiting = new AbortController();
  const late = sleep(time, 'late' as const, { signal: waiting.signal });
  late.catch(() => undefined); // called off
  try {
    const done = await Promise.race([load(channel, modules), late]);
    if (done !== 'late') return;
    throw new DebloatError('The guest has not loaded the modules that it was sent.', {
      hint: 'its kernel runs no programs now, or it is very busy',
    });
  } finally {
    waiting.abort();
    channel.close();
  }
}

async function load(channel: Channel, modules: readonly ModuleFile[]): Promise<void> {
  void channel.write(loadFrames(modules));
  const decoder = new SessionDecoder();
  for (;;) {
    const bytes = await channel.read();
    if (bytes === undefined)
      throw new DebloatError('The guest ended before all modules were loaded.');
    for (const event of decoder.push(bytes)) {
      if (event.type === 'exit') return;
      if (event.type === 'failed') {
        throw new DebloatError(`The guest’s kernel did not ${sentenceOf(event)}.`, {
          hint: 'its log says more (dmesg in the guest)',
        });
      }
    }
  }
}
