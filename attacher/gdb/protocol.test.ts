import { describe, expect, it } from 'vitest';
import { parseStubAddress } from './stub-door.js';
import { encodePacket, PacketReader } from './packet.js';
import {
  decodeRegisters,
  encodeRegister,
  neededRegisters,
  registerLayout,
} from './register-layout.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');

describe('packets of the gdb protocol', () => {
  it('are what they are in gdb’s manual', () => {
    expect(encodePacket('OK')).toBe('$OK#9a');
    expect(() => encodePacket('a#b')).toThrow(RangeError);
  });

  it('are cut from the stream, whatever pieces it comes in', () => {
    const reader = new PacketReader();
    const stream = `+$OK#9a+${encodePacket('T05thread:01;')}`;
    const payloads = Array.from(bytes(stream)).flatMap((byte) => reader.push(Uint8Array.of(byte)));
    expect(payloads).toEqual(['OK', 'T05thread:01;']);
  });

  it('are unescaped, and repeated as they say', () => {
    expect(new PacketReader().push(bytes('$a}\x03b#43'))).toEqual(['a#b']);
    expect(new PacketReader().push(bytes('$0* #7a'))).toEqual(['0000']);
  });

  it('are refused with a wrong checksum', () => {
    expect(() => new PacketReader().push(bytes('$OK#9b'))).toThrow(RangeError);
  });
});

describe('registers by the stub’s description', () => {
  const described = neededRegisters
    .map(
      (name) => `<reg name="${name}" bitsize="${name === 'cs' || name === 'eflags' ? 32 : 64}"/>`,
    )
    .join('\n');

  it('lie one after the other, without those in comments', () => {
    const layout = registerLayout(`<!--<reg name="cs_base" bitsize="64"/>-->${described}`);
    expect(layout.get('rbx')).toEqual({ number: 1, offset: 8, size: 8 });
    expect(layout.get('cr0')).toEqual({ number: 19, offset: 17 * 8 + 8, size: 8 });
    const answer = `0102000000000000${'xx'.repeat(8)}`;
    expect(decodeRegisters(layout, answer).get('rax')).toBe(0x201n);
    expect(decodeRegisters(layout, answer).get('rbx')).toBe(0n);
    expect(encodeRegister({ number: 0, offset: 0, size: 4 }, 0x12345678n)).toBe('78563412');
  });

  it('are refused where one is missing', () => {
    expect(() => registerLayout(described.replace('cr3', 'cr9'))).toThrow(/cr3/);
  });
});

it('addresses of stubs are sockets or ports', () => {
  expect(parseStubAddress('/run/x')).toEqual({ path: '/run/x' });
  expect(parseStubAddress(':1234')).toEqual({ host: '127.0.0.1', port: 1234 });
  expect(parseStubAddress('host:1')).toEqual({ host: 'host', port: 1 });
});
