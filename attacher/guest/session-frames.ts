import { DebloatError } from '../../analyzer/errors.js';
import { integer } from '../../native/linux/integers.js';

/**
 * The frames between the host and stage 2 (native/guest/stage2/session.h is the mirror): type, 0,
 * length in 16 bits, payload. Little endian.
 */

export const FrameType = {
  input: 1,
  inputEnd: 2,
  resize: 3,
  signal: 4,
  argument: 0x10,
  environment: 0x11,
  directory: 0x12,
  user: 0x13,
  serial: 0x14,
  tree: 0x15,
  container: 0x16,
  terminal: 0x17,
  module: 0x18,
  file: 0x19,
  load: 0x1a,
  containerName: 0x1b,
  run: 0x1f,
  output: 0x21,
  errors: 0x22,
  started: 0x23,
  exit: 0x24,
  failed: 0x25,
  note: 0x26,
} as const;

const headerBytes = 4;
/** Most bytes of payload in one frame. */
export const frameMost = 16_384;

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface SessionSettings {
  /** The command: at least one word. */
  readonly command: readonly string[];
  /** NAME=VALUE. */
  readonly environment?: readonly string[];
  readonly directory?: string;
  readonly user?: { uid: number; gid: number; groups?: readonly number[] };
  /** The overlay: the serial number of its disk, its file, or a folder where it is mounted. */
  readonly overlay: { serial: string } | { file: string } | { tree: string };
  /** A process whose namespaces the command joins, or the name of a container to find it by. */
  readonly container?: number | string;
  /** The command gets a terminal of this size; else pipes. */
  readonly terminal?: TerminalSize;
  /** Loaded into the kernel first, in this order. */
  readonly modules?: readonly ModuleFile[];
}

function frame(type: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const size = integer('bytes of a frame', payload.length, 0, frameMost);
  const bytes = new Uint8Array(headerBytes + size);
  bytes.set([type, 0, size & 0xff, size >> 8]);
  bytes.set(payload, headerBytes);
  return bytes;
}

function textFrame(type: number, text: string): Uint8Array {
  if (text.includes('\0')) throw new RangeError('text for the guest must not contain NUL');
  const bytes = Buffer.from(text);
  if (bytes.length > frameMost) {
    throw new DebloatError(`A word of the command has more than ${frameMost} bytes.`);
  }
  return frame(type, bytes);
}

function numbers(width: 2 | 4, values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(width * values.length);
  const most = 2 ** (8 * width) - 1;
  values.forEach((value, at) =>
    bytes.writeUIntLE(integer('number for the guest', value, 0, most), at * width, width),
  );
  return bytes;
}

function sizePayload({ rows, columns }: TerminalSize): Uint8Array {
  return numbers(2, [rows, columns, 0, 0]);
}

function overlayFrame(overlay: SessionSettings['overlay']): Uint8Array {
  if ('serial' in overlay) return textFrame(FrameType.serial, overlay.serial);
  if ('file' in overlay) return textFrame(FrameType.file, overlay.file);
  return textFrame(FrameType.tree, overlay.tree);
}

function containerFrame(container: number | string): Uint8Array {
  return typeof container === 'string'
    ? textFrame(FrameType.containerName, container)
    : frame(FrameType.container, numbers(4, [container]));
}

/** Everything that stage 2 needs before it runs the command. */
export function settingsFrames(settings: SessionSettings): Uint8Array {
  if (settings.command.length === 0) throw new RangeError('a session needs a command');
  const { user, overlay } = settings;
  const frames = [
    ...(settings.modules ?? []).flatMap(moduleFrames),
    ...settings.command.map((word) => textFrame(FrameType.argument, word)),
    ...(settings.environment ?? []).map((word) => textFrame(FrameType.environment, word)),
    overlayFrame(overlay),
  ];
  if (settings.directory !== undefined) {
    frames.push(textFrame(FrameType.directory, settings.directory));
  }
  if (user) {
    frames.push(frame(FrameType.user, numbers(4, [user.uid, user.gid, ...(user.groups ?? [])])));
  }
  if (settings.container !== undefined) frames.push(containerFrame(settings.container));
  if (settings.terminal) {
    frames.push(frame(FrameType.terminal, sizePayload(settings.terminal)));
  }
  frames.push(frame(FrameType.run));
  return Buffer.concat(frames);
}

/** A kernel module as the kernel takes it: the bytes of an uncompressed .ko. */
export interface ModuleFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

function moduleFrames({ name, bytes }: ModuleFile): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += frameMost) {
    frames.push(frame(FrameType.module, bytes.subarray(at, at + frameMost)));
  }
  return [...frames, textFrame(FrameType.load, name)];
}

/** Has stage 2 load kernel modules, in this order, and end. */
export function loadFrames(modules: readonly ModuleFile[]): Uint8Array {
  return Buffer.concat([...modules.flatMap(moduleFrames), frame(FrameType.run)]);
}

/** Input for the command, in as many frames as it takes. */
export function inputFrames(bytes: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += frameMost) {
    frames.push(frame(FrameType.input, bytes.subarray(at, at + frameMost)));
  }
  return Buffer.concat(frames);
}

export const inputEndFrame = (): Uint8Array => frame(FrameType.inputEnd);

export const resizeFrame = (size: TerminalSize): Uint8Array =>
  frame(FrameType.resize, sizePayload(size));

/** A signal by its number, to the command's process group. */
export const signalFrame = (signal: number): Uint8Array =>
  frame(FrameType.signal, Uint8Array.of(integer('signal', signal, 1, 64)));

/** What comes from stage 2. */
export type SessionEvent =
  | { readonly type: 'output' | 'errors'; readonly bytes: Uint8Array }
  | { readonly type: 'started'; readonly process: number }
  /** `signal` is set where it was killed by one. */
  | { readonly type: 'exit'; readonly code: number; readonly signal?: number }
  /** `errno` is positive, or 0 where `what` says all. */
  | { readonly type: 'failed' | 'note'; readonly errno: number; readonly what: string };

function nonsense(): DebloatError {
  return new DebloatError('The guest sent nonsense in the session.');
}

function numberOf(payload: Buffer): number {
  if (payload.length < 4) throw nonsense();
  return payload.readUInt32LE(0);
}

/** The meaning of a wait status (wait(2)): as a shell would say it. */
function exitOf(status: number): SessionEvent {
  const signal = status & 0x7f;
  return signal === 0
    ? { type: 'exit', code: (status >> 8) & 0xff }
    : { type: 'exit', code: 128 + signal, signal };
}

function eventOf(type: number, payload: Buffer): SessionEvent | undefined {
  switch (type) {
    case FrameType.output:
      return { type: 'output', bytes: payload };
    case FrameType.errors:
      return { type: 'errors', bytes: payload };
    case FrameType.started:
      return { type: 'started', process: numberOf(payload) };
    case FrameType.exit:
      return exitOf(numberOf(payload));
    case FrameType.failed:
    case FrameType.note:
      return {
        type: type === FrameType.failed ? 'failed' : 'note',
        errno: 0 - (numberOf(payload) | 0), // and not -0
        what: payload.toString('utf8', 4).replace(/[\x00-\x1f\x7f-\x9f]/g, '?'),
      };
    default:
      return undefined; // of a newer stage 2
  }
}

/** Cuts the stream from stage 2 into its events. */
export class SessionDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /** The events that are complete with `bytes`; a DebloatError if the stream makes no sense. */
  push(bytes: Uint8Array): SessionEvent[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const events: SessionEvent[] = [];
    let at = 0;
    while (this.#rest.length - at >= headerBytes) {
      const size = this.#rest.readUInt16LE(at + 2);
      if (size > frameMost || this.#rest[at + 1] !== 0) throw nonsense();
      if (this.#rest.length - at < headerBytes + size) break;
      const payload = this.#rest.subarray(at + headerBytes, at + headerBytes + size);
      const event = eventOf(this.#rest[at] ?? 0, payload);
      if (event) events.push(event);
      at += headerBytes + size;
    }
    this.#rest = Buffer.from(this.#rest.subarray(at));
    return events;
  }
}
