#!/usr/bin/env bash
# images.sh build NAME...           make images from test/images/NAME/Dockerfile (buildah: no daemon)
# images.sh push ADDRESS NAME...    push them to a registry as ADDRESS/NAME:1
# images.sh load NAME...            load them into the Docker engine as debloat-test/NAME:1
# images.sh default                 the names of the images that the tests use
#
# Each image is kept as an OCI layout, $cache/images/NAME:1, until its recipe changes.
. "$(dirname "$0")/lib.sh"

layouts=$cache/images
recipes=$repo/test/images
defaults=(nginx redis postgres memcached flask node haproxy static non-root apache-php odd odd-oci)
# What a Docker engine cannot hold
oci_only=(odd-oci)
mkdir -p "$layouts"

driver() { # native overlayfs where the cache's file system allows it, else plain copies
  local probe
  probe=$(mktemp -d "$cache/overlay-XXXXXX")
  mkdir "$probe"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null; then
    umount "$probe/merged"
    echo overlay
  else
    echo vfs
  fi
  rm -rf "$probe"
}

key_of() { # NAME: changes when anything that goes into the image does
  local parts=("$recipes/$1" "$0" "$(dirname "$0")/layout.sh")
  [ "$1" != odd-oci ] || parts+=("$recipes/odd")
  [ "$1" = base ] || parts+=("$recipes/base")
  find "${parts[@]}" -type f -print0 | sort -z | xargs -0 sha256sum | cut -c1-64 | sha256sum | cut -c1-12
}

is_built() { [ "$(readlink "$layouts/$1")" = "$1-$(key_of "$1")" ] && [ -e "$layouts/$1/index.json" ]; }

in_store() { buildah "${store[@]}" inspect --type image "$1" >/dev/null 2>&1; }

# Show what a build printed only when it failed.
quietly() { # NAME COMMAND...
  local log=$state/$1.log
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -30 "$log" >&2
    die "could not build the image (the whole log: $log)."
  fi
}

bud() { # NAME CONTEXT
  # --layers: a layer for each instruction, as docker build does. The machine's way to the mirrors
  # is only lent: what is mounted is in no layer.
  local proxies=() variable
  for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!variable:-}" ] || proxies+=(--build-arg "$variable")
  done
  quietly "$1" buildah "${store[@]}" bud --layers --pull=never --isolation chroot --network host --format docker \
    --cap-add CAP_MKNOD,CAP_SETFCAP "${proxies[@]}" \
    --volume "$borrowed/mnt:/mnt:ro" --volume "$borrowed/mnt/apt.conf:/etc/apt/apt.conf:ro" \
    --file "$2/Dockerfile" --tag "localhost/debloat-test/$1" "$2"
}

export_layout() { # NAME: from buildah's store to the cache
  local work
  work=$(mktemp -d "$layouts/.new-XXXXXX")
  quietly "$1" skopeo copy --dest-compress --dest-compress-format gzip \
    "containers-storage:[$driver@$cache/buildah+$state/buildah]localhost/debloat-test/$1" "dir:$work/dir"
  "$(dirname "$0")/layout.sh" "$work/dir" "$work/oci" 1
  publish "$1" "$work"
}

publish() { # NAME WORK: only whole images get the name
  local target
  target=$1-$(key_of "$1")
  rm -rf "${layouts:?}/$target"
  mv "$2/oci" "$layouts/$target"
  ln -sfn "$target" "$layouts/$1"
  rm -rf "$2"
  find "$layouts" -maxdepth 1 -regex ".*/$1-[0-9a-f]+" ! -name "$target" -exec rm -rf {} +
}

build_base() {
  if ! is_built base; then
    say "building the base image"
    local work
    work=$(mktemp -d "$layouts/.new-XXXXXX")
    quietly base mmdebstrap --variant=minbase --mode=root \
      --aptopt="$borrowed/apt.conf" \
      --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf' \
      --customize-hook="cp '$recipes/base/sources.list' \"\$1\"/etc/apt/sources.list" \
      --customize-hook='touch "$1"/etc/apt/apt.conf' \
      bookworm "$work/base.tar" - <"$borrowed/sources.list"
    cp "$recipes/base/Dockerfile" "$work"
    bud base "$work"
    rm -rf "$work"
    export_layout base
  elif ! in_store localhost/debloat-test/base; then
    quietly base buildah "${store[@]}" pull "oci:$layouts/base:1"
    buildah "${store[@]}" tag "$(buildah "${store[@]}" images -q | head -1)" localhost/debloat-test/base
  fi
}

build() {
  local names=() name
  for name in "$@"; do is_built "$name" || names+=("$name"); done
  [ ${#names[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "making the test images (${names[*]}) needs root." "run the same command with sudo"
  exec 9>"$cache/images.lock"
  flock 9
  driver=$(driver)
  store=(--root "$cache/buildah" --runroot "$state/buildah" --storage-driver "$driver")
  borrowed=$state/apt
  "$(dirname "$0")/apt-sources.sh" "$borrowed"
  for name in "${names[@]}"; do
    is_built "$name" && continue # another set-up was quicker
    [ -d "$recipes/$name" ] || die "there is no recipe test/images/$name."
    if [ -e "$recipes/$name/layers.sh" ]; then
      say "building $name"
      local work
      work=$(mktemp -d "$layouts/.new-XXXXXX")
      quietly "$name" "$recipes/$name/layers.sh" "$work/dir"
      "$(dirname "$0")/layout.sh" "$work/dir" "$work/oci" 1
      publish "$name" "$work"
    else
      build_base
      [ "$name" = base ] && continue
      say "building $name"
      bud "$name" "$recipes/$name"
      export_layout "$name"
    fi
  done
  exec 9>&-
}

push() {
  local address=$1 name
  shift
  for name in "$@"; do
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false \
      "oci:$layouts/$name:1" "docker://$address/$name:1"
  done
}

load() {
  local name before
  for name in "$@"; do
    [[ " ${oci_only[*]} " = *" $name "* ]] && continue
    before=$(docker image inspect --format '{{.Id}}' "debloat-test/$name:1" 2>/dev/null) || true
    [ "$before" = "$(config_digest "$name")" ] && continue
    skopeo copy --quiet ${DOCKER_HOST:+--dest-daemon-host "$DOCKER_HOST"} \
      "oci:$layouts/$name:1" "docker-daemon:debloat-test/$name:1"
    # skopeo does not notice when the engine refuses what it was sent
    [ "$(docker image inspect --format '{{.Id}}' "debloat-test/$name:1" 2>/dev/null)" = "$(config_digest "$name")" ] ||
      die "the Docker engine did not take the image $name."
    [ -z "$before" ] || docker rmi "$before" >/dev/null 2>&1 || true
  done
}

config_digest() {
  local manifest
  manifest=$(jq -r '.manifests[0].digest | ltrimstr("sha256:")' "$layouts/$1/index.json")
  jq -r .config.digest "$layouts/$1/blobs/sha256/$manifest"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  build | push | load) "$command" "$@" ;;
  default) printf '%s\n' "${defaults[@]}" ;;
  *) die "usage: images.sh build NAME... | push ADDRESS NAME... | load NAME... | default" ;;
esac
