import { expect, it } from 'vitest';
import { parseProcessors } from './processors.js';

/** As QEMU 7.2 has it, shortened. */
const processor = (n: number, efer: string) =>
  [
    `CPU#${n}`,
    'RAX=000000000001ad40 RBX=0000000000000000 RCX=0000000000000020 RDX=4000000000000000',
    'RIP=ffffffff9384e8cb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1',
    'CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]',
    'CR0=80050033 CR2=0000000000402000 CR3=00000000028ea000 CR4=00750ef0',
    'DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000 ',
    `EFER=${efer}`,
  ].join('\r\n');

it('takes the registers of each processor from what QEMU’s monitor prints', () => {
  const text = `\r\n${processor(0, '0000000000000000')}\r\n\r\n${processor(1, '0000000000000d01')}`;
  const paging = { cr0: 0x80050033n, cr3: 0x28ea000n, cr4: 0x750ef0n };
  expect(parseProcessors(text)).toEqual([
    { ...paging, efer: 0n },
    { ...paging, efer: 0xd01n },
  ]);
  expect(parseProcessors('unknown command: info registers')).toEqual([]);
});
