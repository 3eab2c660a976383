#!/bin/sh
# get-tools.sh host|guest DIR: programs of Debian trixie that older Debians lack or have older, unpacked below DIR/root
# and not installed. host: libblkio (a vhost-user client) and qemu-storage-daemon. guest: fio, stress-ng and the
# file system tools, as DIR/tools.squashfs too, for a virtual machine. They run by their own loader or in a chroot.
set -eu
case $1 in
  host) packages=libblkio-dev,qemu-utils ;;
  guest) packages=fio,stress-ng,e2fsprogs,xfsprogs,util-linux,mount,coreutils,diffutils,bash ;;
  *) echo "usage: get-tools.sh host|guest DIR" >&2 && exit 1 ;;
esac
mkdir -p "$2"
dir=$(cd "$2" && pwd)
[ "$(cat "$dir/packages" 2>/dev/null)" = "$packages" ] && exit 0
rm -rf "$dir/root" "$dir/tools.squashfs"

# The mirror is the host's.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb .*\(https\{0,1\}:[^ ]*\).*/\1/p' /etc/apt/sources.list | head -n 1)
mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
  --include="$packages" trixie "$dir/root" "$mirror" 2>"$dir/log" || { cat "$dir/log" >&2 && exit 1; }
# Nothing but programs and what they need.
rm -rf "$dir"/root/usr/share/doc "$dir"/root/usr/share/man "$dir"/root/usr/share/locale "$dir"/root/usr/lib/python3*
if [ "$1" = guest ]; then
  # An unpacked tree has no links of a merged /usr yet.
  for link in bin sbin lib lib64; do [ -e "$dir/root/$link" ] || ln -s "usr/$link" "$dir/root/$link"; done
  mkdir -p "$dir"/root/proc "$dir"/root/sys "$dir"/root/dev "$dir"/root/tmp "$dir"/root/mnt
  mksquashfs "$dir/root" "$dir/tools.squashfs" -quiet -no-progress -comp zstd -Xcompression-level 3 >/dev/null
fi
echo "$packages" >"$dir/packages"
