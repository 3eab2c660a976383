#!/bin/sh
# get-kernel.sh SUITE DIR: Debian's newest kernel of SUITE as DIR/vmlinuz, its modules that a disk
# needs below DIR/modules. Nothing is installed: apt's lists and cache are kept below DIR meanwhile.
set -eu
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
[ -s "$dir/version" ] && exit 0
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/deb" "$dir/root"

# The mirror and its key are the host's.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
key=$(sed -n 's/^Signed-By: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb .*\(https\{0,1\}:[^ ]*\).*/\1/p' /etc/apt/sources.list | head -n 1)
echo "deb ${key:+[signed-by=$key]} $mirror $suite main" >"$dir/apt/sources.list"

apt() {
  tool=$1
  shift
  "$tool" -qq -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" \
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"
}
apt apt-get update
architecture=$(dpkg --print-architecture)
image=$(apt apt-cache depends "linux-image-$architecture" | sed -n 's/.*Depends: *\(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
(cd "$dir/deb" && apt apt-get download "$image")
for package in "$dir"/deb/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir/root" --wildcards --no-anchored \
    'vmlinuz*' 'kernel/fs' 'kernel/lib' 'kernel/crypto' 'kernel/drivers/virtio' \
    'kernel/drivers/block' 'kernel/arch/*/crypto' 2>/dev/null || true
done
mv "$(find "$dir/root" -name 'vmlinuz*' -type f | head -n 1)" "$dir/vmlinuz"
mv "$(find "$dir/root" -type d -path '*/modules/*' -name '[0-9]*' | head -n 1)" "$dir/modules"
find "$dir/modules" -name '*.ko.xz' -exec xz -d {} +
rm -rf "$dir/root" "$dir/deb" "$dir/apt"
echo "${image#linux-image-}" >"$dir/version"
