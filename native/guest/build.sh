#!/bin/sh
# Build what runs inside the virtual machine: sh native/guest/build.sh DESTDIR (gcc; stage 1 is for x86-64)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
destination=${1:?usage: build.sh DESTDIR}
compiler=${CC:-cc}

mkdir -p "$destination"
work=$(mktemp -d "$destination/.guest.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
  echo "debloat: $1 does not compile. It needs gcc 9 or newer: apt-get install gcc libc6-dev" >&2
  exit 1
}

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
esac

# Stage 2: a program without a C library, as it travels into the guest on each attach.
"$compiler" -std=gnu11 -Os -Wall -Wextra -Werror=implicit-function-declaration \
  -ffreestanding -nostdlib -static -no-pie -fno-pie -fno-stack-protector -fno-ident \
  -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-strict-aliasing \
  -Wl,--build-id=none -Wl,-z,noseparate-code -s \
  -o "$work/stage2" "$here"/stage2/*.c || fail 'stage 2'
mv "$work/stage2" "$destination/stage2-$arch"

if [ "$arch" != amd64 ]; then
  echo "debloat: stage 1 is for x86_64: attaching to virtual machines is left out on $arch." >&2
  exit 0
fi

# Kernel code: no vector registers, no red zone, every kernel function through the linker's table
# (-fno-plt), by a thunk of ours (thunks.S), entered at endbr64; nothing that only a debugger reads.
stage1_flags="-std=gnu11 -O2 -Wall -Wextra -Werror=implicit-function-declaration
  -ffreestanding -fPIC -fno-plt -mno-red-zone -mgeneral-regs-only
  -fcf-protection=branch -mindirect-branch=thunk-extern -mindirect-branch-register -fno-jump-tables
  -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-common
  -fno-strict-aliasing -fno-ident"

for source in "$here"/stage1/*.c "$here"/stage1/*.S; do
  # shellcheck disable=SC2086 # the flags are words
  "$compiler" $stage1_flags -c "$source" -o "$work/$(basename "$source").o" || fail 'stage 1'
done
ld -r -o "$work/stage1" "$work"/*.o
strip --strip-debug --remove-section=.note.gnu.property "$work/stage1"
mv "$work/stage1" "$destination/stage1.o"
