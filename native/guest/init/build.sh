#!/bin/sh
# Build the microVM's init: sh native/guest/init/build.sh DESTDIR/init-ARCH. No C library is linked.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${1:?usage: build.sh FILE}
unfinished=$target.$$
trap 'rm -f "$unfinished"' EXIT

case $(uname -m) in
  x86_64) machine=-fcf-protection=none ;;
  # without this the compiler calls its library for atomic operations
  *) machine=-mno-outline-atomics ;;
esac

if ! "${CC:-cc}" -std=gnu11 -Os -Wall -Wextra -Werror=implicit-function-declaration \
  -ffreestanding -nostdlib -static -no-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
  -fno-tree-loop-distribute-patterns "$machine" \
  -Wl,--build-id=none -Wl,-z,noseparate-code -s -o "$unfinished" "$here"/*.c; then
  echo "debloat: the microVM's init does not compile. It needs the kernel's headers: apt-get install gcc libc6-dev" >&2
  exit 1
fi
mv "$unfinished" "$target"
