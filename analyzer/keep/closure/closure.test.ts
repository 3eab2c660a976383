import { describe, expect, it } from 'vitest';
import { fakeElf } from '../../../test/support/fake-elf.js';
import {
  fakeImage,
  fakeTrace,
  program,
  symlink,
  type FakeFile,
} from '../../../test/support/fake-image.js';
import type { RunConfig } from '../../image/types.js';
import { computeKeepSet } from '../compute.js';
import { policies, type Policy } from '../types.js';
import { nssServices } from './c-library.js';
import { dependencyNames } from './node.js';
import { perlImports } from './perl.js';
import { parseShebang } from './shebang.js';

const lib = '/usr/lib/x86_64-linux-gnu';
const libc: Record<string, FakeFile> = { [`${lib}/libc.so.6`]: fakeElf() };
const elf = (...needed: string[]): FakeFile =>
  program(fakeElf({ interpreter: '/lib/ld.so', needed }));

/** Which of `files` stay, by policy. */
async function kept(
  files: Record<string, FakeFile>,
  uses: Record<string, string>,
  config: RunConfig = {},
): Promise<Record<Policy, (path: string) => boolean>> {
  const image = fakeImage(files, config);
  const entries = await Promise.all(
    policies.map(async (policy) => {
      const { keepSet } = await computeKeepSet(image, fakeTrace(uses), { policy });
      return [policy, (path: string) => keepSet.reasons.has(path)] as const;
    }),
  );
  return Object.fromEntries(entries) as Record<Policy, (path: string) => boolean>;
}

/** Expect each path to stay at exactly the policies from `first` on ("never" for none). */
async function expectFrom(
  files: Record<string, FakeFile>,
  uses: Record<string, string>,
  expected: Record<string, Policy | 'never'>,
  config?: RunConfig,
): Promise<void> {
  const stays = await kept(files, uses, config);
  const seen = Object.fromEntries(
    Object.keys(expected).map((path) => [
      path,
      policies.find((policy) => stays[policy](path)) ?? 'never',
    ]),
  );
  expect(seen).toEqual(expected);
}

describe('parseShebang', () => {
  it('reads interpreters, and the program behind env', () => {
    const parse = (text: string): unknown => parseShebang(Buffer.from(text));
    expect(parse('#!/bin/sh -e\n')).toEqual({ interpreter: '/bin/sh' });
    expect(parse('#! /usr/bin/env python3\n')).toEqual({
      interpreter: '/usr/bin/env',
      envProgram: 'python3',
    });
    expect(parse('#!/usr/bin/env -S A=1 node --x\n')).toEqual({
      interpreter: '/usr/bin/env',
      envProgram: 'node',
    });
    expect(parse('#!\n')).toBeUndefined();
    expect(parse('\x7fELF')).toBeUndefined();
  });
});

describe('closure rules', () => {
  it('keep the interpreter of a script, behind env by the image’s PATH', () =>
    expectFrom(
      {
        '/run.py': program('#!/usr/bin/env py\n'),
        '/usr/bin/env': elf(),
        '/opt/bin/py': elf(),
        '/usr/bin/py': elf(),
      },
      { '/run.py': 'exec x' },
      { '/usr/bin/env': 'strict', '/opt/bin/py': 'strict', '/usr/bin/py': 'never' },
      { Env: ['PATH=/opt/bin:/usr/bin'] },
    ));

  it('keep the tools of a HEALTHCHECK, whichever its form', async () => {
    const files = {
      '/bin/sh': elf(),
      '/usr/bin/curl': elf('libcurl.so.4'),
      [`${lib}/libcurl.so.4`]: fakeElf(),
    };
    await expectFrom(
      files,
      {},
      { '/usr/bin/curl': 'strict', [`${lib}/libcurl.so.4`]: 'strict', '/bin/sh': 'strict' },
      {
        Healthcheck: { Test: ['CMD-SHELL', 'curl -fs http://localhost/ || exit 1'] },
      },
    );
    await expectFrom(
      files,
      {},
      { '/usr/bin/curl': 'strict', '/bin/sh': 'safe' },
      {
        Healthcheck: { Test: ['CMD', 'curl', '-f', 'http://localhost/'] },
      },
    );
    await expectFrom(files, {}, { '/usr/bin/curl': 'never' }, { Healthcheck: { Test: ['NONE'] } });
  });

  it('keep the NSS modules that nsswitch.conf names', async () => {
    expect(
      nssServices('passwd: files systemd # sss\nhosts: files [!UNAVAIL=return] dns\n'),
    ).toEqual(['files', 'systemd', 'dns']);
    expect(nssServices('')).toEqual(['files', 'dns']);
    await expectFrom(
      {
        ...libc,
        '/etc/nsswitch.conf': 'hosts: files mymachines\n',
        [`${lib}/libnss_mymachines.so.2`]: fakeElf(),
        [`${lib}/libnss_ldap.so.2`]: fakeElf(),
      },
      { [`${lib}/libc.so.6`]: 'open x' },
      { [`${lib}/libnss_mymachines.so.2`]: 'strict', [`${lib}/libnss_ldap.so.2`]: 'never' },
    );
  });

  it('keep the PAM service of a program, its includes and modules', () =>
    expectFrom(
      {
        '/bin/su': elf('libpam.so.0'),
        '/etc/pam.d/su': 'auth sufficient pam_rootok.so\n@include common-auth\n',
        '/etc/pam.d/common-auth': 'auth [success=1 default=ignore] pam_unix.so nullok\n',
        '/etc/pam.d/other': 'auth required pam_deny.so\n',
        '/etc/pam.d/sshd': 'auth required pam_rare.so\n',
        ...Object.fromEntries(
          ['rootok', 'unix', 'deny', 'rare'].map((name) => [
            `${lib}/security/pam_${name}.so`,
            fakeElf(),
          ]),
        ),
      },
      { '/bin/su': 'exec x' },
      {
        '/etc/pam.d/common-auth': 'strict',
        [`${lib}/security/pam_rootok.so`]: 'strict',
        [`${lib}/security/pam_unix.so`]: 'strict',
        [`${lib}/security/pam_deny.so`]: 'strict',
        [`${lib}/security/pam_rare.so`]: 'never',
      },
    ));

  it('keep CA certificates for a TLS library', () =>
    expectFrom(
      {
        '/usr/bin/app': elf('libssl.so.3'),
        [`${lib}/libssl.so.3`]: fakeElf(),
        '/etc/ssl/certs/ca-certificates.crt': 'PEM',
        '/etc/ssl/certs/0a1b2c3d.0': symlink('Root.pem'),
        '/etc/ssl/certs/Root.pem': symlink('/usr/share/ca-certificates/mozilla/Root.crt'),
        '/usr/share/ca-certificates/mozilla/Root.crt': 'PEM',
        '/usr/share/ca-certificates/mozilla/Unused.crt': 'PEM',
      },
      { '/usr/bin/app': 'exec x' },
      {
        '/etc/ssl/certs/ca-certificates.crt': 'strict',
        '/etc/ssl/certs/0a1b2c3d.0': 'balanced',
        '/usr/share/ca-certificates/mozilla/Root.crt': 'balanced',
        '/usr/share/ca-certificates/mozilla/Unused.crt': 'never',
      },
    ));

  it('keep time zones for programs that let their users name them', () =>
    expectFrom(
      {
        '/usr/lib/postgresql/15/bin/postgres': elf(),
        '/etc/localtime': symlink('/usr/share/zoneinfo/Etc/UTC'),
        '/usr/share/zoneinfo/Etc/UTC': 'TZif',
        '/usr/share/zoneinfo/Asia/Tokyo': 'TZif',
        '/usr/share/zoneinfo/Europe/Berlin': 'TZif',
        '/usr/share/zoneinfo/right/Asia/Tokyo': 'TZif',
      },
      { '/usr/lib/postgresql/15/bin/postgres': 'exec x' },
      {
        '/usr/share/zoneinfo/Etc/UTC': 'strict',
        '/usr/share/zoneinfo/Europe/Berlin': 'strict',
        '/usr/share/zoneinfo/Asia/Tokyo': 'balanced',
        '/usr/share/zoneinfo/right/Asia/Tokyo': 'never',
      },
      { Env: ['TZ=Europe/Berlin'] },
    ));

  it('keep plugins beside one that was opened, unless they are too dear', async () => {
    const huge = Buffer.concat([fakeElf(), Buffer.alloc(26 << 20)]);
    await expectFrom(
      {
        '/usr/sbin/web': elf(),
        '/usr/lib/web/modules/mod_a.so': fakeElf(),
        '/usr/lib/web/modules/mod_b.so': fakeElf({ needed: ['libb.so.1'] }),
        '/usr/lib/web/modules/mod_jit.so': fakeElf({ needed: ['libLLVM.so.1'] }),
        [`${lib}/libb.so.1`]: fakeElf(),
        [`${lib}/libLLVM.so.1`]: huge,
        [`${lib}/libplain.so`]: fakeElf(),
      },
      {
        '/usr/sbin/web': 'exec x',
        '/usr/lib/web/modules/mod_a.so': 'open web',
        [`${lib}/libb.so.1`]: 'stat x',
      },
      {
        '/usr/lib/web/modules/mod_b.so': 'balanced',
        '/usr/lib/web/modules/mod_jit.so': 'safe',
        [`${lib}/libLLVM.so.1`]: 'safe',
        [`${lib}/libplain.so`]: 'never',
      },
    );
  });

  it('keep Python packages whole, with metadata, and modules with their compiled form', () => {
    const site = '/usr/local/lib/python3.11/site-packages';
    const std = '/usr/local/lib/python3.11';
    return expectFrom(
      {
        [`${site}/flask/__init__.py`]: 'x',
        [`${site}/flask/__pycache__/__init__.cpython-311.pyc`]: 'x',
        [`${site}/flask/json/late.py`]: 'x',
        [`${site}/Flask-2.2.2.dist-info/METADATA`]: 'Name: Flask\n',
        [`${site}/PyYAML-6.0.dist-info/METADATA`]: 'Name: PyYAML\n',
        [`${site}/PyYAML-6.0.dist-info/top_level.txt`]: '_yaml\nyaml\n',
        [`${site}/yaml/__init__.py`]: 'x',
        [`${site}/six.py`]: 'x',
        [`${site}/pip/__init__.py`]: 'x',
        [`${std}/json/__init__.py`]: 'x',
        [`${std}/sqlite3/__init__.py`]: 'x',
        [`${std}/test/big.py`]: 'x',
        [`${std}/unittest/test/big.py`]: 'x',
        [`${std}/lib-dynload/_sqlite3.cpython-311-x86_64-linux-gnu.so`]: fakeElf(),
      },
      {
        [`${site}/flask/__init__.py`]: 'open python',
        [`${site}/yaml/__init__.py`]: 'open python',
        [`${std}/json/__init__.py`]: 'open python',
      },
      {
        [`${site}/flask/__pycache__/__init__.cpython-311.pyc`]: 'strict',
        [`${site}/flask/json/late.py`]: 'balanced',
        [`${site}/Flask-2.2.2.dist-info/METADATA`]: 'strict',
        [`${site}/PyYAML-6.0.dist-info/METADATA`]: 'strict',
        [`${site}/six.py`]: 'never',
        [`${site}/pip/__init__.py`]: 'never',
        [`${std}/sqlite3/__init__.py`]: 'balanced',
        [`${std}/lib-dynload/_sqlite3.cpython-311-x86_64-linux-gnu.so`]: 'balanced',
        [`${std}/test/big.py`]: 'never',
        [`${std}/unittest/test/big.py`]: 'never',
      },
    );
  });

  it('keep Node packages whole with their dependencies, through pnpm’s symlinks too', async () => {
    expect(
      dependencyNames(
        '{"dependencies": {"a": "1", "@s/b": "2", "../evil": "1"}, "devDependencies": {"c": "1"}}',
      ),
    ).toEqual(['a', '@s/b']);
    expect(dependencyNames('not json')).toEqual([]);
    const pnpm = '/app/node_modules/.pnpm';
    await expectFrom(
      {
        '/app/server.js': 'x',
        '/app/package.json':
          '{"dependencies": {"express": "4", "late": "1"}, "devDependencies": {"jest": "1"}}',
        '/app/node_modules/express/index.js': 'x',
        '/app/node_modules/express/lib/rare.js': 'x',
        '/app/node_modules/express/package.json': '{"dependencies": {"@s/dep": "1"}}',
        '/app/node_modules/@s/dep/package.json': '{}',
        '/app/node_modules/@s/dep/index.js': 'x',
        '/app/node_modules/late': symlink('.pnpm/late@1/node_modules/late'),
        [`${pnpm}/late@1/node_modules/late/package.json`]: '{"dependencies": {"deep": "1"}}',
        [`${pnpm}/late@1/node_modules/late/index.js`]: 'x',
        [`${pnpm}/late@1/node_modules/deep/package.json`]: '{}',
        '/app/node_modules/jest/package.json': '{}',
      },
      { '/app/server.js': 'open node', '/app/node_modules/express/index.js': 'open node' },
      {
        '/app/node_modules/express/package.json': 'strict',
        '/app/node_modules/express/lib/rare.js': 'balanced',
        '/app/node_modules/@s/dep/index.js': 'balanced',
        [`${pnpm}/late@1/node_modules/late/index.js`]: 'balanced',
        [`${pnpm}/late@1/node_modules/deep/package.json`]: 'balanced',
        '/app/node_modules/jest/package.json': 'never',
      },
    );
  });

  it('keep the modules that Perl scripts name', () => {
    expect([
      ...perlImports(
        'use strict;\nuse parent qw(My::Base);\n# use Not::This;\nrequire POSIX;\n__END__\nuse Nor::This;\n',
      ),
    ]).toEqual(['strict.pm', 'parent.pm', 'My/Base.pm', 'POSIX.pm']);
    return expectFrom(
      {
        '/usr/bin/perl': elf(),
        '/usr/bin/tool': program('#!/usr/bin/perl\nuse My::Mod;\n'),
        '/usr/share/perl5/My/Mod.pm': 'package My::Mod;\nuse My::Deep;\n1;\n',
        '/usr/share/perl5/My/Deep.pm': '1;\n',
        '/usr/share/perl5/My/Other.pm': '1;\n',
      },
      { '/usr/bin/tool': 'exec x' },
      {
        '/usr/bin/perl': 'strict',
        '/usr/share/perl5/My/Deep.pm': 'strict',
        '/usr/share/perl5/My/Other.pm': 'never',
      },
    );
  });

  it('keep gems, Composer packages, OTP applications and Java runtimes together', () =>
    expectFrom(
      {
        '/var/lib/gems/3.1.0/gems/rack-2.2.4/lib/rack.rb': 'x',
        '/var/lib/gems/3.1.0/gems/rack-2.2.4/lib/rack/late.rb': 'x',
        '/var/lib/gems/3.1.0/specifications/rack-2.2.4.gemspec': 'x',
        '/srv/www/vendor/autoload.php': 'x',
        '/srv/www/vendor/composer/classmap.php': 'x',
        '/srv/www/vendor/acme/mail/src/A.php': 'x',
        '/srv/www/vendor/acme/mail/src/Late.php': 'x',
        '/usr/lib/erlang/lib/ssl-10.8/ebin/ssl.beam': 'x',
        '/usr/lib/erlang/lib/ssl-10.8/ebin/late.beam': 'x',
        '/opt/jdk/lib/server/libjvm.so': fakeElf(),
        '/opt/jdk/lib/security/default.policy': 'x',
        '/opt/jdk/lib/libawt.so': fakeElf(),
        '/opt/jdk/lib/src.zip': 'x',
      },
      {
        '/var/lib/gems/3.1.0/gems/rack-2.2.4/lib/rack.rb': 'open ruby',
        '/srv/www/vendor/acme/mail/src/A.php': 'open php',
        '/usr/lib/erlang/lib/ssl-10.8/ebin/ssl.beam': 'open beam',
        '/opt/jdk/lib/server/libjvm.so': 'open java',
      },
      {
        '/var/lib/gems/3.1.0/specifications/rack-2.2.4.gemspec': 'strict',
        '/var/lib/gems/3.1.0/gems/rack-2.2.4/lib/rack/late.rb': 'balanced',
        '/srv/www/vendor/composer/classmap.php': 'strict',
        '/srv/www/vendor/acme/mail/src/Late.php': 'balanced',
        '/usr/lib/erlang/lib/ssl-10.8/ebin/late.beam': 'balanced',
        '/opt/jdk/lib/security/default.policy': 'strict',
        '/opt/jdk/lib/libawt.so': 'balanced',
        '/opt/jdk/lib/src.zip': 'never',
      },
    ));

  it('keep what a listed settings directory holds, and the application in WORKDIR', () =>
    expectFrom(
      {
        '/etc/app/conf.d/rare.conf': 'x',
        '/srv/data/small': 'x',
        '/srv/huge/a': Buffer.alloc(2 << 20),
        '/app/main': elf(),
        '/app/templates/rare.html': 'x',
        '/app/.git/objects/aa': 'x',
        '/data/seed': 'x',
        '/var/www/html/index.php': 'x',
        '/var/www/html/admin/rare.php': 'x',
        '/opt/tool/bin/tool': elf(),
        '/opt/tool/bin/other': 'x',
      },
      {
        '/app/main': 'exec x',
        '/var/www/html/index.php': 'open x',
        '/opt/tool/bin/tool': 'exec x',
        '/etc/app/conf.d': 'list x',
        '/srv/data': 'list x',
        '/srv/huge': 'list x',
      },
      {
        '/etc/app/conf.d/rare.conf': 'balanced',
        '/srv/data/small': 'balanced',
        '/srv/huge/a': 'never',
        '/app/templates/rare.html': 'balanced',
        '/app/.git/objects/aa': 'never',
        '/data/seed': 'balanced',
        '/var/www/html/admin/rare.php': 'balanced',
        '/opt/tool/bin/other': 'never',
      },
      { WorkingDir: '/app', Volumes: { '/data': {} } },
    ));
});
