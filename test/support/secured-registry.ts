import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { setupScript } from './services.js';

export interface SecuredRegistry extends AsyncDisposable {
  address: string;
  user: string;
  password: string;
}

// bcrypt of the password below, at its least cost
const account = 'tester:$2b$04$/H65ikCxjfWFnzceYcxSXOl0Xk3AuxhrWRWcF/nrH0Ite1ATfgLt6';

/** A registry of its own, below `parent`, that lets only one user in. */
export async function startSecuredRegistry(parent: string): Promise<SecuredRegistry> {
  const dir = mkdtempSync(join(parent, 'registry-'));
  const port = execFileSync(setupScript('free-port'), { encoding: 'utf8' }).trim();
  const address = `localhost:${port}`;
  writeFileSync(join(dir, 'htpasswd'), `${account}\n`);
  writeFileSync(
    join(dir, 'config.yml'),
    JSON.stringify({
      version: '0.1',
      storage: { filesystem: { rootdirectory: dir } },
      http: { addr: `127.0.0.1:${port}` },
      auth: { htpasswd: { realm: 'tests', path: join(dir, 'htpasswd') } },
    }),
  );
  const registry = execa('docker-registry', ['serve', join(dir, 'config.yml')], {
    reject: false,
    stdio: 'ignore',
  });
  const stop = async (): Promise<void> => {
    registry.kill();
    await registry;
    rmSync(dir, { recursive: true });
  };
  for (let tries = 0; tries < 100; tries++) {
    const answer = await fetch(`http://${address}/v2/`).catch(() => undefined);
    if (answer?.status === 401) {
      return { address, user: 'tester', password: 'open sesame', [Symbol.asyncDispose]: stop };
    }
    await sleep(100);
  }
  await stop();
  throw new Error('the registry with accounts did not start');
}
