#!/bin/sh
# Build the native parts: sh native/build.sh DESTDIR
set -eu

here=$(cd "$(dirname "$0")" && pwd)
destination=${1:?usage: build.sh DESTDIR}
compiler=${CC:-cc}

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *)
    echo "debloat: the sensor knows x86_64 and aarch64, not $(uname -m)." >&2
    exit 1
    ;;
esac

if ! command -v "$compiler" >/dev/null 2>&1; then
  echo "debloat: there is no C compiler. Install one: apt-get install gcc libc6-dev" >&2
  exit 1
fi

mkdir -p "$destination"
CC=$compiler sh "$here/guest/init/build.sh" "$destination/init-$arch"

unfinished=$destination/.sensor-$arch.$$
trap 'rm -f "$unfinished"' EXIT

if ! "$compiler" -std=gnu11 -O2 -Wall -Wextra -Werror=implicit-function-declaration \
  -static -no-pie -s -o "$unfinished" "$here"/sensor/*.c; then
  echo "debloat: the sensor does not compile. It needs a static C library and the kernel's headers: apt-get install gcc libc6-dev" >&2
  exit 1
fi
mv "$unfinished" "$destination/sensor-$arch"

# What the block server copies with, loaded into its process.
"$compiler" -std=gnu11 -O2 -Wall -Wextra -fPIC -shared -s -o "$destination/copier-$arch.so" "$here"/copier/copy.c

# What runs inside virtual machines and containers that are attached to.
CC=$compiler sh "$here/guest/build.sh" "$destination"

# What a thread of a hypervisor is sent through (x86-64, like stage 1).
if [ "$arch" = amd64 ]; then "$compiler" -c -o "$destination/gate.o" "$here/hypervisor/gate.S"; fi
