#!/bin/sh
# get-kernel.sh SUITE DIR: Debian's newest kernel of SUITE as DIR/vmlinuz, its modules that a virtual
# machine needs below DIR/modules. Nothing is installed: apt's lists and cache are kept below DIR meanwhile.
set -eu
. "$(dirname "$0")/apt.sh"
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
exec 9>"$dir/lock" # tests of several checkouts share the cache
flock 9
[ -s "$dir/version" ] && [ -s "$dir/modules/modules.builtin" ] && exit 0
mkdir -p "$dir/root"
apt_below "$dir" "$suite"
architecture=$(dpkg --print-architecture)
image=$(apt apt-cache depends "linux-image-$architecture" | sed -n 's/.*Depends: *\(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
# From 7.x on linux-image is empty: kernel and modules are in packages that it depends on.
parts=$(apt apt-cache depends "$image" | sed -n 's/.*Depends: *\(linux-\(binary\|modules\)-[0-9][^ ]*\).*/\1/p')
# shellcheck disable=SC2086 # a list of packages
(cd "$dir/deb" && apt apt-get download ${parts:-$image})
for package in "$dir"/deb/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$dir/root" --wildcards --no-anchored \
    'vmlinuz*' 'modules.builtin' 'kernel/fs' 'kernel/lib' 'kernel/crypto' 'kernel/drivers/virtio' \
    'kernel/drivers/block' 'kernel/drivers/net/*virtio_net.ko*' 'kernel/drivers/net/net_failover.ko*' \
    'kernel/net/core/failover.ko*' 'kernel/drivers/acpi/button.ko*' 'kernel/arch/*/crypto' 2>/dev/null || true
done
rm -rf "$dir/modules"
mv "$(find "$dir/root" -name 'vmlinuz*' -type f | head -n 1)" "$dir/vmlinuz"
mv "$(find "$dir/root" -type d -path '*/modules/*' -name '[0-9]*' | head -n 1)" "$dir/modules"
find "$dir/modules" -name '*.ko.xz' -exec xz -d {} +
rm -rf "$dir/root" "$dir/deb" "$dir/apt"
echo "${image#linux-image-}" >"$dir/version"
