import type { ElfInfo } from './elf.js';

interface Architecture {
  /** The value of $PLATFORM. */
  platform: string;
  /** Debian's multiarch directory names. */
  triplets: readonly string[];
}

/** By `e_machine` (gABI) and class. */
const architectures: Record<string, Architecture> = {
  '62/64': { platform: 'x86_64', triplets: ['x86_64-linux-gnu'] },
  '62/32': { platform: 'x86_64', triplets: ['x86_64-linux-gnux32'] },
  '3/32': { platform: 'i686', triplets: ['i386-linux-gnu'] },
  '183/64': { platform: 'aarch64', triplets: ['aarch64-linux-gnu'] },
  '40/32': { platform: 'v7l', triplets: ['arm-linux-gnueabihf', 'arm-linux-gnueabi'] },
  '243/64': { platform: 'riscv64', triplets: ['riscv64-linux-gnu'] },
  '21/64': { platform: 'power8', triplets: ['powerpc64le-linux-gnu', 'powerpc64-linux-gnu'] },
  '22/64': { platform: 'z900', triplets: ['s390x-linux-gnu'] },
  '8/64': { platform: 'mips64', triplets: ['mips64el-linux-gnuabi64', 'mips64-linux-gnuabi64'] },
  '8/32': { platform: 'mips', triplets: ['mipsel-linux-gnu', 'mips-linux-gnu'] },
  '258/64': { platform: 'loongarch64', triplets: ['loongarch64-linux-gnu'] },
};

export function architectureOf(elf: Pick<ElfInfo, 'machine' | 'bits'>): Architecture {
  return architectures[`${elf.machine}/${elf.bits}`] ?? { platform: '', triplets: [] };
}

/** Directories that ld.so searches last; which of them are compiled in depends on the distribution. */
export function defaultDirectories(elf: ElfInfo): string[] {
  const names = [
    ...architectureOf(elf).triplets.map((triplet) => `lib/${triplet}`),
    ...(elf.bits === 64 ? ['lib64'] : []),
    'lib',
    ...(elf.bits === 32 ? ['lib32', 'libx32'] : []),
  ];
  return [...names.flatMap((name) => [`/${name}`, `/usr/${name}`]), '/usr/local/lib'];
}
