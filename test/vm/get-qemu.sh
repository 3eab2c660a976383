#!/bin/sh
# get-qemu.sh SUITE DIR: Debian's QEMU of SUITE as DIR/root/usr/bin/qemu-system-x86_64, with that suite's
# libraries and firmware, so that it runs whatever the host's are. Nothing is installed on the host.
set -eu
. "$(dirname "$0")/apt.sh"
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
exec 9>"$dir/lock" # tests of several checkouts share the cache
flock 9
[ -s "$dir/version" ] && exit 0
mkdir -p "$dir/root"
apt_below "$dir" "$suite"
# To an empty system all that it depends on is missing.
: >"$dir/apt/status"
apt apt-get -o Dir::State::status="$dir/apt/status" install --yes --download-only --no-install-recommends qemu-system-x86
for package in "$dir"/apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir/root" --exclude='./usr/share/doc' --exclude='./usr/share/locale'
done
loader=$(find "$dir/root" -name 'ld-linux-x86-64.so.2' | head -n 1)
libraries=$dir/root/usr/lib/x86_64-linux-gnu
# Found by its own path, so that the process is QEMU's and not the loader's.
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries:$dir/root/lib/x86_64-linux-gnu" \
  "$dir/root/usr/bin/qemu-system-x86_64"
"$dir/root/usr/bin/qemu-system-x86_64" --version >"$dir/version.new"
rm -rf "$dir/deb" "$dir/apt"
mv "$dir/version.new" "$dir/version"
