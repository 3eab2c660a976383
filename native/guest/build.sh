#!/bin/sh
# Build what runs inside the virtual machine: sh native/guest/build.sh DESTDIR (x86-64, gcc)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
destination=${1:?usage: build.sh DESTDIR}
compiler=${CC:-cc}

mkdir -p "$destination"
work=$(mktemp -d "$destination/.guest.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Kernel code: no vector registers, no red zone, every kernel function through the linker's table
# (-fno-plt), by a thunk of ours (thunks.S), entered at endbr64; nothing that only a debugger reads.
stage1_flags="-std=gnu11 -O2 -Wall -Wextra -Werror=implicit-function-declaration
  -ffreestanding -fPIC -fno-plt -mno-red-zone -mgeneral-regs-only
  -fcf-protection=branch -mindirect-branch=thunk-extern -mindirect-branch-register -fno-jump-tables
  -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-common
  -fno-strict-aliasing -fno-ident"

for source in "$here"/stage1/*.c "$here"/stage1/*.S; do
  # shellcheck disable=SC2086 # the flags are words
  if ! "$compiler" $stage1_flags -c "$source" -o "$work/$(basename "$source").o"; then
    echo "debloat: the guest stage does not compile. It needs gcc 9 or newer: apt-get install gcc" >&2
    exit 1
  fi
done
ld -r -o "$work/stage1" "$work"/*.o
strip --strip-debug --remove-section=.note.gnu.property "$work/stage1"
mv "$work/stage1" "$destination/stage1.o"
