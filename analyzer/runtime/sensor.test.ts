import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { expect, it } from 'vitest';
import { sensorArchive, sensorFor, tracedArgv } from './sensor.js';

async function members(archive: Buffer): Promise<{ header: Header; body: Buffer }[]> {
  const found = [];
  for await (const member of Readable.from([archive]).pipe(extract())) {
    const chunks: Buffer[] = [];
    for await (const chunk of member) chunks.push(chunk as Buffer);
    found.push({ header: member.header, body: Buffer.concat(chunks) });
  }
  return found;
}

it('puts the sensor in front, and has it drop what it alone was given', () => {
  expect(tracedArgv(['nginx', '-g', 'x y'], ['SYS_PTRACE', 'SYS_ADMIN'])).toEqual([
    '/.debloat/sensor',
    ...['--output', '/.debloat/trace'],
    ...['--drop-caps', 'SYS_PTRACE,SYS_ADMIN'],
    ...['--', 'nginx', '-g', 'x y'],
  ]);
  expect(tracedArgv(['a'], [])).not.toContain('--drop-caps');
});

it('is packed with a trace directory that any user may write to', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sensor-'));
  await writeFile(join(dir, 'program'), 'ELF');
  try {
    const plain = await members(await sensorArchive(join(dir, 'program'), false));
    expect(plain.map(({ header }) => [header.name, header.mode])).toEqual([
      ['.debloat', 0o755],
      ['.debloat/trace', 0o1777],
      ['.debloat/sensor', 0o755],
    ]);
    expect(plain[2]?.body.toString()).toBe('ELF');
    const capable = (await members(await sensorArchive(join(dir, 'program'), true)))[2];
    const pax = (capable?.header.pax ?? {}) as Record<string, string>;
    const attribute = pax['SCHILY.xattr.security.capability'] ?? '';
    expect(Buffer.from(attribute, 'latin1').toString('hex')).toBe(
      '0100000200000800000000000000000000000000',
    );
  } finally {
    await rm(dir, { recursive: true });
  }
});

it('says so for a machine that it is not built for', () => {
  expect(() => sensorFor('s390x')).toThrow('there is no sensor for s390x');
});
