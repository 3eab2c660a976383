#!/usr/bin/env bash
# serve.sh LAYOUT PATH...: run the image of an OCI layout with runc and print what it answers on each path
# of its first port. For debloated images: their layers have no whiteouts, so unpacking is tar alone.
. "$(dirname "$0")/lib.sh"
layout=$1
shift
work=$(mktemp -d "$state/serve-XXXXXX")
id=dbt-$(basename "$work")
runc=(runc --root "$work/runc")

finish() {
  "${runc[@]}" delete --force "$id" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

blob() { echo "$layout/blobs/${1/://}"; }
manifest=$(blob "$(jq -r '.manifests[0].digest' "$layout/index.json")")
config=$(blob "$(jq -r .config.digest "$manifest")")
mkdir "$work/rootfs"
for layer in $(jq -r '.layers[].digest' "$manifest"); do
  tar --extract --file "$(blob "$layer")" --directory "$work/rootfs" --numeric-owner --same-permissions \
    --xattrs --xattrs-include='*'
done

# What `docker run` would give it, by hand.
runc spec --bundle "$work"
jq --slurpfile image "$config" '
  $image[0].config as $c
  | .process.terminal = false
  | .process.args = ($c.Entrypoint // []) + ($c.Cmd // [])
  | .process.env = $c.Env
  | .process.cwd = (if ($c.WorkingDir // "") == "" then "/" else $c.WorkingDir end)
  | ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE", "CAP_KILL"] as $caps
  | .process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps}
  | .root = {path: "rootfs", readonly: false}
  | del(.linux.resources, .linux.cgroupsPath)' "$work/config.json" >"$work/config.new"
mv "$work/config.new" "$work/config.json"
port=$(jq -r '.config.ExposedPorts | keys[0] | split("/")[0]' "$config")

if ! "${runc[@]}" run --detach --pid-file "$work/pid" --bundle "$work" "$id" </dev/null >"$work/log" 2>&1; then
  cat "$work/log" >&2
  die "the image does not start."
fi
pid=$(cat "$work/pid")

for path in "$@"; do
  # curl asks again until the server listens
  nsenter --target "$pid" --net curl --fail --silent --noproxy '*' --max-time 5 \
    --retry 50 --retry-delay 0 --retry-max-time 20 --retry-connrefused "http://127.0.0.1:$port$path" || {
    cat "$work/log" >&2
    die "the image does not serve $path."
  }
done
