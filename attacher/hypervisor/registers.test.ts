import { describe, expect, it } from 'vitest';
import { arePlausible, areStored, decodeRegisters, KvmRun, poisonRegisters } from './registers.js';

/** A struct kvm_run with registers of a processor in 64-bit mode. */
function run(): DataView {
  const view = new DataView(new ArrayBuffer(KvmRun.end));
  const general = (n: number, value: bigint) =>
    view.setBigUint64(KvmRun.registers + 8 * n, value, true);
  for (let n = 0; n < 16; n++) general(n, BigInt(n));
  general(16, 0xffff_ffff_8100_1234n);
  general(17, 0x246n);
  const special = (at: number, value: bigint) =>
    view.setBigUint64(KvmRun.specialRegisters + at, value, true);
  view.setUint16(KvmRun.specialRegisters + 12, 0x10, true);
  view.setUint8(KvmRun.specialRegisters + 16, 0);
  view.setUint8(KvmRun.specialRegisters + 19, 1);
  special(224, 0x8005_0033n);
  special(240, 0x123_4000n);
  special(248, 0x6f0n);
  special(264, 0xd01n);
  special(272, 0xfee0_0900n);
  return view;
}

describe('registers of a vCPU', () => {
  it('are where the kernel’s ABI has them', () => {
    const registers = decodeRegisters(run());
    expect(registers).toMatchObject({
      ...{ rax: 0n, rbx: 1n, rsp: 6n, r15: 15n },
      ...{ rip: 0xffff_ffff_8100_1234n, rflags: 0x246n },
      ...{ cr0: 0x8005_0033n, cr3: 0x123_4000n, cr4: 0x6f0n, efer: 0xd01n },
      apicBase: 0xfee0_0900n,
      cs: { selector: 0x10, privilege: 0, long: true },
    });
    expect(arePlausible(registers)).toBe(true);
  });

  it('count as stored only after they were', () => {
    const view = run();
    expect(areStored(view)).toBe(true);
    poisonRegisters(view);
    expect(areStored(view)).toBe(false);
    expect(arePlausible(decodeRegisters(view))).toBe(false);
  });
});
