// node hijack-once.js PID IMAGE COUNT: attach a disk to a VM and detach it, COUNT times; prints what each
// took, in milliseconds, as JSON. The first prepare finds no cache.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attachDisk, preparePlan } from '../../dist/attacher/hijack/index.js';
import { openVirtualMachine } from '../../dist/attacher/hypervisor/index.js';

const [pid, image, count] = process.argv.slice(2);
const cacheDirectory = mkdtempSync(join(tmpdir(), 'debloat-bench-cache-'));
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
  rounds.push({ prepare, stopped, guest, detachStopped: attached.attachment.target.stopped });
  machine.close();
}
rmSync(cacheDirectory, { recursive: true });
console.log(JSON.stringify(rounds));
process.exit(0);
