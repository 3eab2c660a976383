#!/usr/bin/env bash
# layout.sh DIR LAYOUT TAG: skopeo's `dir:` form of an image as an OCI layout (image-spec, image-layout.md).
# Unlike `skopeo copy dir: oci:` it leaves the config's bytes alone, so that Docker's extensions
# (HEALTHCHECK above all) survive, as they do in the layouts that `docker buildx` writes.
. "$(dirname "$0")/lib.sh"
dir=$1 layout=$2 tag=$3
blobs=$layout/blobs/sha256
mkdir -p "$blobs"

for blob in "$dir"/*; do
  name=$(basename "$blob")
  [[ $name =~ ^[0-9a-f]{64}$ ]] && mv "$blob" "$blobs/$name"
done

add() { # FILE TYPE: store a file as a blob, print its descriptor
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  jq -nc --arg type "$2" --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$1")" \
    '{mediaType: $type, digest: $digest, size: $size}'
  mv "$1" "$blobs/$digest"
}

jq -c '.mediaType = "application/vnd.oci.image.manifest.v1+json"
  | .config.mediaType = "application/vnd.oci.image.config.v1+json"
  | .layers[].mediaType |= "application/vnd.oci.image.layer.v1.tar+" + split(".")[-1]' \
  "$dir/manifest.json" >"$layout/manifest"
add "$layout/manifest" application/vnd.oci.image.manifest.v1+json |
  jq -c --arg tag "$tag" '{schemaVersion: 2, manifests: [. + {annotations: {"org.opencontainers.image.ref.name": $tag}}]}' \
    >"$layout/index.json"
echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
