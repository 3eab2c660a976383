#!/usr/bin/env bash
# The main job, from nothing, on the embedded default: no daemon but a registry on loopback.
. "$(dirname "$0")/demo-lib.sh"
stop_demo() { "$here/registry.sh" stop; }

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
