#!/usr/bin/env bash
# packages.sh demo|test|bench: the Debian packages that each needs; installs what is missing as root.
. "$(dirname "$0")/lib.sh"

tool=(skopeo runc squashfs-tools e2fsprogs erofs-utils tar gzip zstd iproute2 procps) # debloat's own needs
native=(gcc libc6-dev make)                                                          # to compile the sensor
images=(mmdebstrap buildah docker-registry debian-archive-keyring jq util-linux attr fakeroot libcap2-bin busybox-static)
guests=(qemu-system-x86 xz-utils patchelf) # virtual machines to serve disks to and to attach to
engine=(docker.io iptables ca-certificates)
podman=(podman) # its containers are attached to

case ${1:-} in
  demo) wanted=("${tool[@]}" "${native[@]}" "${images[@]}" curl) ;;
  test) wanted=("${tool[@]}" "${native[@]}" "${images[@]}" curl "${engine[@]}" "${podman[@]}" "${guests[@]}") ;;
  bench) wanted=("${tool[@]}" "${native[@]}" "${images[@]}" curl "${engine[@]}" "${guests[@]}" nginx strace wrk time) ;;
  *) die "usage: packages.sh demo|test|bench" ;;
esac

command -v dpkg-query >/dev/null || die \
  "this set-up installs Debian packages, and this machine has no dpkg." \
  "use Debian 12 or later (a container or VM will do)"

missing=()
for package in "${wanted[@]}"; do
  # an engine that is not Debian's is as good
  if [ "$package" = docker.io ] && command -v dockerd >/dev/null; then continue; fi
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install --yes --no-install-recommends ${missing[*]}"
[ "$(id -u)" = 0 ] || die "packages are missing: ${missing[*]}" "sudo apt-get update && sudo $install"

say "installing ${missing[*]}"
# policy-rc.d (invoke-rc.d(8)): installing a server must not start one on this machine
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
log=$state/apt.log
if ! { apt-get update && $install; } >"$log" 2>&1; then
  tail -20 "$log" >&2
  die "apt-get failed (the whole log: $log)" "sudo apt-get update && sudo $install"
fi
