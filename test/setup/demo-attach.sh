#!/usr/bin/env bash
# The original image, back inside the running microVM of the debloated one: under QEMU, without KVM.
. "$(dirname "$0")/demo-lib.sh"
machine=
stop_demo() { [ -z "$machine" ] || kill "$machine" 2>/dev/null || true; }

title "1. Set-up"
"$here/packages.sh" demo
"$here/node.sh"
"$here/images.sh" build nginx
kernel=$cache/kernels/bookworm
mkdir -p "$kernel"
sh "$repo/test/vm/get-kernel.sh" bookworm "$kernel"
out=debloat-out/demo-attach
cd "$repo"
rm -rf "$out"

title "2. Debloat nginx, and make its microVM"
show debloat build "oci:$cache/images/nginx:1" --runtime runc --http / --output-dir "$out" \
  --vm "$out/vm" --vm-kernel "$kernel/vmlinuz" --vm-modules "$kernel/modules"

title "3. Boot it: it serves, and has no shell"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
monitor=$DEBLOAT_TEST_STATE/qmp
(
  cd "$out/vm"
  exec qemu-system-x86_64 -accel tcg -cpu max -m 256 -nodefaults -no-reboot -display none \
    -serial "file:$DEBLOAT_TEST_STATE/console" -qmp "unix:$monitor,server=on,wait=off" \
    -kernel kernel -initrd initramfs -append "$(jq -r .commandLine vm.json)" \
    -drive if=none,id=root,format=raw,file=root.squashfs,read-only=on -device virtio-blk-pci,drive=root \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:80" -device virtio-net-pci,netdev=net
) &
machine=$!
get() { curl -sf -o /dev/null -m 10 "http://127.0.0.1:$port/"; }
for _ in $(seq 240); do get && break || sleep 0.5; done
get || die "the microVM does not serve."
unsquashfs -l "$out/vm/root.squashfs" | grep -qx 'squashfs-root/usr/bin/bash' &&
  die "bash is still in the microVM's root disk."
echo "serves at port $port; no /usr/bin/bash on its disk" >&2

title "4. The original image, back inside the running machine"
(
  failed=0 served=0
  while [ ! -e "$DEBLOAT_TEST_STATE/enough" ]; do
    if get; then served=$((served + 1)); else failed=$((failed + 1)); fi
  done
  echo "$served requests served meanwhile, $failed failed" >&2
  [ "$failed" = 0 ]
) &
requests=$!
# shellcheck disable=SC2016 # for the shell in the guest
show debloat attach "qemu://$machine" -- bash -c '
  echo "bash $BASH_VERSION on Linux $(uname -r)"
  dpkg -l | sed -n "6,10p"
  for status in /proc/[0-9]*/status; do grep -H ^Name: "$status"; done | grep nginx'
show debloat attach "qemu://$machine" --exec 'dpkg -l | grep -c ^ii' --format json
touch "$DEBLOAT_TEST_STATE/enough"
wait "$requests" || die "a request failed while the session ran."

title "5. Gone again"
get || die "the microVM does not serve any more."
kill -0 "$machine" || die "the microVM has ended."
echo "still serving, as before" >&2
