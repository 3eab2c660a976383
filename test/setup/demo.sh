#!/usr/bin/env bash
# The main job, from nothing, on the embedded default: no daemon but a registry on loopback.
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")
export DEBLOAT_TEST_STATE
DEBLOAT_TEST_STATE=$(mktemp -d "${TMPDIR:-/tmp}/dbt-XXXXXX")
finish() {
  "$here/registry.sh" stop
  rm -rf "$DEBLOAT_TEST_STATE"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
show() { # print a command as a user would type it, then run it
  printf '$ %s\n' "$*" >&2
  "$@"
}
debloat() { node "$repo/dist/cli/main.js" "$@"; }

title "1. Set-up"
"$here/packages.sh" demo
"$here/node.sh"
"$here/images.sh" build nginx
address=$("$here/registry.sh" start)
layout=$cache/images/nginx
out=debloat-out/demo
cd "$repo"
rm -rf "$out" "$out-restored"

title "2. An nginx image, made from Debian packages, goes to a registry"
show skopeo copy --preserve-digests --dest-tls-verify=false "oci:$layout:1" "docker://$address/nginx:1"

title "3. Debloat it: pull, trace by runc, cut, verify"
show debloat build "registry://$address/nginx:1" --runtime runc --http / --http /about --output-dir "$out"

title "4. The original again, from the debloated image and the overlay"
show debloat restore "oci:$out/image" "$out/overlay.squashfs" --output-dir "$out-restored"
digest() { skopeo inspect --raw "oci:$1" | jq -r '.config.digest'; }
original=$(digest "$layout:1") restored=$(digest "$out-restored/image")
printf 'image ID of the original  %s\nimage ID of the restored  %s\n' "$original" "$restored"
[ "$original" = "$restored" ] || die "the restored image is not the original."

title "5. A page from the debloated nginx"
"$here/serve.sh" "$out/image" /

title "Done"
echo "Report: $repo/$out/report.html" >&2
