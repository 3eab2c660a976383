// node hijack-once.js PID IMAGE COUNT [CACHE]: attach a disk to a VM and detach it, COUNT times; prints what each
// took, in milliseconds, as JSON. `cpu` is the processor time of this process since its start. Without CACHE
// the first prepare finds no cache.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachDisk, preparePlan } from '../../dist/attacher/hijack/index.js';
import { openVirtualMachine } from '../../dist/attacher/hypervisor/index.js';

const [pid, image, count, cache] = process.argv.slice(2);
const ownCache = mkdtempSync(join(tmpdir(), 'debloat-bench-cache-'));
const cacheDirectory = cache ?? ownCache;
const rounds = [];
for (let n = 0; n < Number(count); n++) {
  const begun = performance.now();
  const machine = openVirtualMachine(Number(pid));
  const plan = preparePlan(machine, { cacheDirectory });
  const prepare = performance.now() - begun;
  const attached = await attachDisk(machine, plan, {
    disk: { image, mode: 'read-only', preload: false },
    ...{ serial: 'bench', loadDrivers: false, log: () => undefined },
  });
  const { stopped, guest } = attached.times;
  await attached.detach();
  machine.close();
  const { user, system } = process.cpuUsage();
  const { stopped: detachStopped } = attached.attachment.target;
  rounds.push({ prepare, stopped, guest, detachStopped, cpu: (user + system) / 1000 });
}
rmSync(ownCache, { recursive: true });
console.log(JSON.stringify(rounds));
process.exit(0);
