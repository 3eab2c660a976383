import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DebloatError } from '../errors.js';
import { loadProfiles, matchProfile, profileSchema, readProfile } from './profile.js';

describe('the built-in profiles', () => {
  it('are valid, named like their files, and about images that are matched by name', async () => {
    const profiles = await loadProfiles();
    expect(profiles.length).toBeGreaterThanOrEqual(20);
    for (const profile of profiles) {
      expect(profile.match?.images.length).toBeGreaterThan(0);
      for (const port of profile.tcp) expect(Number(port)).toBeGreaterThan(0);
      for (const http of profile.http) expect(http).toMatch(/^\d+:\/\S*$/);
      for (const variable of profile.env) expect(variable).toMatch(/^[\w.]+=/);
      for (const pattern of [...profile.keep, ...profile.drop]) expect(pattern).toMatch(/^\//);
    }
    const names = profiles.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('have a schema file that says what the code checks', async () => {
    const file = new URL('../../profiles/schema.json', import.meta.url);
    const written: unknown = JSON.parse(await readFile(file, 'utf8'));
    expect(written).toEqual(z.toJSONSchema(profileSchema, { io: 'input' }));
  });
});

describe('matchProfile', () => {
  const nginx = { Entrypoint: ['/docker-entrypoint.sh'], Cmd: ['nginx', '-g', 'daemon off;'] };

  it('takes official images and mirrors of them by name, whole', async () => {
    const profiles = await loadProfiles();
    for (const reference of [
      'nginx',
      'docker://nginx:1.27',
      'registry://localhost:5000/nginx:1',
      `docker.io/library/nginx@sha256:${'0'.repeat(64)}`,
    ])
      expect(matchProfile(profiles, nginx, reference)).toMatchObject({
        name: 'nginx',
        http: ['80:/'],
      });
    const redis = { Cmd: ['redis-server'] };
    expect(matchProfile(profiles, redis, 'redis:7')?.exec).toContain('redis-cli save');
  });

  it('takes from a profile that fits by program alone only rules and declared ports', async () => {
    const profiles = await loadProfiles();
    const redis = { Cmd: ['/usr/bin/redis-server', '--port', '7000'] };
    expect(matchProfile(profiles, redis, 'team/cache:2')).toMatchObject({
      name: 'redis',
      tcp: [],
      exec: [],
      env: [],
    });
    const exposed = { ...redis, ExposedPorts: { '6379/tcp': {} } };
    expect(matchProfile(profiles, exposed, 'team/cache:2')).toMatchObject({
      tcp: ['6379'],
      exec: [],
    });
    const web = { ...nginx, ExposedPorts: { '80/tcp': {} } };
    expect(matchProfile(profiles, web, 'team/nginx:2')).toMatchObject({
      name: 'nginx',
      http: ['80:/'],
    });
  });

  it('is not misled by a name when another program runs', async () => {
    const profiles = await loadProfiles();
    expect(matchProfile(profiles, { Cmd: ['python3', 'app.py'] }, 'nginx:1')).toBeUndefined();
    expect(matchProfile(profiles, undefined, 'team/api:1')).toBeUndefined();
  });
});

describe('readProfile', () => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'profile-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  it('says in one sentence what is wrong with a file', async () => {
    const file = join(dir, 'mine.json');
    await expect(readProfile(file)).rejects.toThrow(/^The profile .*mine\.json cannot be read/);
    await writeFile(file, '{"name": "mine", "http": "80:/"}');
    await expect(readProfile(file)).rejects.toThrow(/is not valid at http: /);
    await writeFile(file, '{"name": "mine", "probes": []}');
    await expect(readProfile(file)).rejects.toThrow(DebloatError);
    await writeFile(file, '{"name": "mine", "tcp": ["80"]}');
    expect(await readProfile(file)).toMatchObject({ name: 'mine', tcp: ['80'], keep: [] });
  });
});
