/** Numbers of the vhost-user specification (docs/interop/vhost-user.rst of QEMU). */

export const Message = {
  getFeatures: 1,
  setFeatures: 2,
  setOwner: 3,
  resetOwner: 4,
  setMemTable: 5,
  setVringNum: 8,
  setVringAddr: 9,
  setVringBase: 10,
  getVringBase: 11,
  setVringKick: 12,
  setVringCall: 13,
  setVringErr: 14,
  getProtocolFeatures: 15,
  setProtocolFeatures: 16,
  getQueueNum: 17,
  setVringEnable: 18,
  getConfig: 24,
  setConfig: 25,
  getInflightFd: 31,
  setInflightFd: 32,
  resetDevice: 34,
  getMaxMemSlots: 36,
  addMemReg: 37,
  remMemReg: 38,
} as const;

/** VHOST_USER_PROTOCOL_F_*. */
export const ProtocolFeature = {
  multiQueue: 0,
  replyAck: 3,
  config: 9,
  inflightSharedMemory: 12,
  resetDevice: 13,
  configureMemSlots: 15,
} as const;

/** VHOST_USER_F_PROTOCOL_FEATURES, beside the device’s features. */
export const protocolFeaturesBit = 30;

export const headerLength = 12;
/** The longest payload that any message here may have. */
export const longestPayload = 1024;

/** Header flags: the version in the lowest two bits, reply, need_reply. */
const version = 1;
const versionMask = 3;
const replyFlag = 4;
const needReplyFlag = 8;

/** In the payload of kick, call and err: the queue, and that there is no descriptor. */
export const vringIndexMask = 0xff;
export const noDescriptorFlag = 0x100;

/** Most regions in one memory table, and in all with CONFIGURE_MEM_SLOTS. */
export const tableSlots = 8;
export const memorySlots = 256;

/** The client broke the protocol: the connection ends. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** What to send back; nothing unless the client wants an acknowledgement. */
export interface Answer {
  payload: Uint8Array;
  /** To be sent along, then closed. */
  descriptor?: number;
}

export interface Header {
  request: number;
  needReply: boolean;
  length: number;
}

/** The header of a message from the client; throws ProtocolError. */
export function decodeHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerLength);
  const request = view.getUint32(0, true);
  const flags = view.getUint32(4, true);
  const length = view.getUint32(8, true);
  if ((flags & versionMask) !== version) {
    throw new ProtocolError(`message ${request} of version ${flags & versionMask}`);
  }
  if (length > longestPayload) {
    throw new ProtocolError(`message ${request} of ${length} bytes`);
  }
  return { request, needReply: (flags & needReplyFlag) !== 0, length };
}

/** A reply to `request`, header and payload. */
export function encodeReply(request: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(headerLength + payload.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, version | replyFlag, true);
  view.setUint32(8, payload.length, true);
  message.set(payload, headerLength);
  return message;
}

/** A payload that is one 64-bit number. */
export function encodeNumber(value: bigint | number): Uint8Array {
  const payload = new DataView(new ArrayBuffer(8));
  payload.setBigUint64(0, BigInt(value), true);
  return new Uint8Array(payload.buffer);
}
