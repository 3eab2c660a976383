import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import Docker from 'dockerode';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeDockerArchive } from '../../analyzer/image/archive.js';
import { digestOf } from '../../analyzer/image/digest.js';
import { unpackTree } from '../../analyzer/image/unpack.js';
import { imageOfBytes } from '../support/image-of-bytes.js';
import { archive, member } from '../support/raw-tar.js';
import { imageOfScripts } from './layered-image.js';
import { RandomLayers } from './random-layers.js';
import { snapshot } from './tree-snapshot.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'image-test-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('an unpacked image is what its layers say', () => {
  it.each(Array.from({ length: 12 }, (_, seed) => seed))('random layers, seed %i', async (seed) => {
    const random = new RandomLayers(seed, { crossLayerLinks: true });
    try {
      const layers = Array.from({ length: 5 }, () => random.next(12));
      await unpackTree(await imageOfBytes(...layers), dir);
      const expected = snapshot(random.root);
      const unpacked = snapshot(dir);
      for (const tree of [expected, unpacked]) tree.delete('/'); // no layer has a member for it
      expect(Object.fromEntries(unpacked)).toEqual(Object.fromEntries(expected));
    } finally {
      random.remove();
    }
  });

  it.each(['gnu', 'pax'])(
    '%s archives of GNU tar: devices, capabilities, holes, names',
    async (format) => {
      const script = `
      mkdir -m 700 d; chown 33:44 d; touch -d @1000000000 d
      mknod null c 1 3; mknod loop b 7 200; mkfifo -m 644 fifo
      echo cap > cap; setcap cap_net_bind_service+ep cap; setfattr -n user.note -v "0x00ff3d0a" cap
      truncate -s 5M sparse; printf data | dd of=sparse bs=1 seek=3000000 conv=notrunc status=none
      n=$(printf 'n%.0s' {1..200}); echo long > "$n"; ln -s "$n$n" longlink; ln "$n" longhard
      echo setuid > su; chmod 6755 su; chown 4000000:5000000 su; chmod 6755 su
      printf x > "$(printf 'latin\\374')"; ln -s "$(printf 'to\\374')" slatin; touch -h -d @5.123456789 slatin
    `;
      const options =
        format === 'pax' ? ['--format=pax', '--xattrs', '--xattrs-include=*'] : ['--format=gnu'];
      const image = await imageOfScripts(join(dir), [
        { script, tarOptions: [...options, '--sparse'] },
      ]);
      const [theirs, ours] = [join(dir, 'theirs'), join(dir, 'ours')];
      mkdirSync(theirs);
      mkdirSync(ours);
      const flags = ['-xp', '--numeric-owner', '--xattrs', '--xattrs-include=*'];
      execFileSync('tar', [...flags, '-f', image.layers[0]?.file ?? '', '-C', theirs]);
      await unpackTree(image, ours);
      expect(Object.fromEntries(snapshot(ours))).toEqual(Object.fromEntries(snapshot(theirs)));
      const finer = (root: string) =>
        execFileSync('find', ['.', '-printf', '%p %T@ %b\n'], { cwd: root })
          .toString('latin1')
          .split('\n')
          .sort();
      expect(finer(ours)).toEqual(finer(theirs));
      if (format === 'pax')
        expect(execFileSync('getcap', [join(ours, 'cap')]).toString()).toContain(
          'cap_net_bind_service=ep',
        );
    },
  );

  it('as Docker has it', async () => {
    const docker = new Docker();
    for (const seed of [100, 101, 102]) {
      const random = new RandomLayers(seed, { crossLayerLinks: false });
      const tag = `debloat-image-test-${process.pid}:${seed}`;
      try {
        const layers = Array.from({ length: 4 }, (_, i) => {
          const bytes = random.next(12);
          const file = join(dir, `${seed}-${i}.tar`);
          writeFileSync(file, bytes);
          return { file, size: bytes.length, bytes };
        });
        const configBytes = Buffer.from(
          JSON.stringify({
            os: 'linux',
            architecture: 'amd64',
            config: { Cmd: ['/none'] },
            rootfs: { type: 'layers', diff_ids: layers.map(({ bytes }) => digestOf(bytes)) },
          }),
        );
        const parts = { configBytes, configDigest: digestOf(configBytes), layers, tags: [tag] };
        const answer = await docker.loadImage(writeDockerArchive(parts));
        answer.resume();
        await new Promise((resolve) => answer.on('end', resolve));
        expect((await docker.getImage(tag).inspect()).Id).toBe(parts.configDigest);

        const container = await docker.createContainer({ Image: tag });
        const [theirs, ours] = [join(dir, `theirs-${seed}`), join(dir, `ours-${seed}`)];
        mkdirSync(theirs);
        mkdirSync(ours);
        const exported = join(dir, 'export.tar');
        await pipeline(await container.export(), createWriteStream(exported));
        await container.remove({ force: true });
        execFileSync('tar', [
          '-xp',
          '--numeric-owner',
          '--xattrs',
          '--xattrs-include=*',
          '-f',
          exported,
          '-C',
          theirs,
        ]);
        await unpackTree(await imageOfBytes(...layers.map(({ bytes }) => bytes)), ours);
        const comparable = (root: string) =>
          [...snapshot(root)]
            .filter(([path]) => !/^\/(\.dockerenv|dev|etc|proc|sys)?(\/|$)/.test(path))
            .map(([path, record]) => ({ path, ...record, xattrs: 'not exported by Docker' }));
        expect(comparable(ours).length).toBeGreaterThan(4);
        const sorted = (records: { path: string }[]) =>
          records.sort((a, b) => (a.path < b.path ? -1 : 1));
        expect(sorted(comparable(ours))).toEqual(sorted(comparable(theirs)));
      } finally {
        random.remove();
        await docker
          .getImage(tag)
          .remove({ force: true })
          .catch(() => undefined);
      }
    }
  });
});

describe('symlinks cannot lead the unpacking astray', () => {
  it.each([
    [
      'a parent of the same layer',
      [
        [
          member({ name: 'out', type: '2', link: '/tmp/debloat-astray' }),
          member({ name: 'out/file', data: 'x' }),
        ],
      ],
    ],
    [
      'a parent of a lower layer',
      [
        [member({ name: 'out', type: '2', link: '../../../../../../tmp/debloat-astray' })],
        [member({ name: 'out/file', data: 'x' })],
      ],
    ],
    [
      'a hardlink to a symlink',
      [
        [
          member({ name: 'out', type: '2', link: '/tmp/debloat-astray' }),
          member({ name: 'link', type: '1', link: 'out' }),
          member({ name: 'link', data: 'x' }),
        ],
      ],
    ],
  ])('%s', async (_, layers) => {
    rmSync('/tmp/debloat-astray', { recursive: true, force: true });
    mkdirSync('/tmp/debloat-astray');
    try {
      await unpackTree(await imageOfBytes(...layers.map((members) => archive(...members))), dir);
      expect([...snapshot('/tmp/debloat-astray').keys()]).toEqual(['/']);
    } finally {
      rmSync('/tmp/debloat-astray', { recursive: true, force: true });
    }
  });
});

it('a full disk is one sentence that says where and how much', async () => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir]);
  try {
    const image = await imageOfBytes(
      archive(member({ name: 'big', data: Buffer.alloc(3_000_000, 'x') })),
    );
    await expect(unpackTree(image, dir)).rejects.toThrow(
      new RegExp(`^no space left in ${dir}: at least 300\\d{4} bytes are needed, \\d+ are free$`),
    );
  } finally {
    execFileSync('umount', [dir]);
  }
});
