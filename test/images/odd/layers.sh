#!/usr/bin/env bash
# layers.sh DIR: an image with every odd kind of entry, written layer by layer with GNU tar, because no
# Dockerfile makes some of them. DIR gets the image in skopeo's `dir:` form.
# With ENGINE_REFUSES=1 it also has what an OCI layout may hold and a Docker engine does not take: a path
# twice in one layer, a hard link to a file of a lower layer, zstd, and a sparse member (it takes it, but
# cannot save the image any more: what it stored no longer has the layer's digest).
# The image's own program (run.sh) checks what it finds, so that a wrong tree does not serve a page.
set -euo pipefail

recipe=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out"
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
umask 022
if [ "${ENGINE_REFUSES:-}" = 1 ]; then sparse=--sparse; else sparse=; fi

long=data/$(printf 'directory-with-a-long-name-%02d/' {1..10})
name255=$(printf 'n%.0s' {1..255})

write() { # TAR ENTRY...: exactly these entries, in this order
  local file=$1
  shift
  printf '%s\0' "$@" |
    tar --format=pax $sparse --xattrs --xattrs-include='*' --numeric-owner --no-recursion \
      --null --verbatim-files-from --files-from=- -f "$file" ${append:--c}
}

# Layer 1: the tree that later layers change.
mkdir "$work/1" && cd "$work/1"
mkdir -p bin app www tmp run proc dev etc data/{hard,links,opaque/old-dir,was-dir,special,owners/{empty,huge},modes,names}
cp /bin/busybox bin/busybox
for applet in sh cat ls stat readlink test httpd wget grep echo wc; do ln -s busybox bin/$applet; done
install -m 755 "$recipe/run.sh" app/run.sh
echo 'root:x:0:0::/:/bin/sh' >etc/passwd
echo shared >data/hard/a && ln data/hard/a data/hard/b && ln data/hard/a data/hard/c
truncate -s 8M data/sparse && printf 'end' >>data/sparse && printf 'middle' | dd of=data/sparse bs=1 seek=4194304 conv=notrunc status=none
cp bin/busybox bin/capable && setcap cap_net_raw+ep bin/capable
echo tagged >data/xattr && setfattr -n user.comment -v 'kept as it is' data/xattr
mknod data/special/null c 1 3 && mknod data/special/loop b 7 0 && mkfifo data/special/fifo && chmod 666 data/special/null
mkdir -p "$long" && echo deep >"${long}file" && echo 255 >"data/names/$name255"
printf latin >$'data/names/latin1-\xe9' && printf newline >$'data/names/new\nline' && printf space >'data/names/a "b" \ c'
: >data/empty
echo setuid >data/modes/setuid && chmod 4755 data/modes/setuid
echo locked >data/modes/locked && chmod 000 data/modes/locked
mkdir data/modes/setgid && chmod 2775 data/modes/setgid && chmod 1777 tmp
chown 12345:54321 data/owners/empty && chmod 0750 data/owners/empty && chown 3000000:3000000 data/owners/huge
echo end >data/links/target
(cd data/links && ln -s target third && ln -s third second && ln -s second first &&
  ln -s loop-b loop-a && ln -s loop-a loop-b && ln -s /data/links/target absolute && ln -s nowhere dangling &&
  ln -s ../../data/links/target up && ln -s ../../../../../../etc/passwd climbing && ln -s ../hard to-dir)
echo hidden >data/gone && echo old >data/recreated && echo old >data/opaque/old && echo old >data/opaque/old-dir/file
echo file >data/was-file && echo file >data/was-dir/file && ln -s was-dir data/was-link
echo same >data/mode-only && touch -d '1969-12-31 23:59:58.123456789Z' data/mode-only
mapfile -d '' all < <(find . -mindepth 1 -printf '%P\0' | sort -z)
write "$work/1.tar" "${all[@]}"

# Layer 2: whiteouts, an opaque directory whose marker comes last, kinds that change, a group of links that is split.
mkdir "$work/2" && cd "$work/2"
mkdir -p data/hard data/opaque data/was-file data/was-link
: >data/.wh.gone && : >data/.wh.recreated && echo new >data/recreated
echo new >data/opaque/new && : >data/opaque/.wh..wh..opq
echo inside >data/was-file/inside && echo 'a file now' >data/was-dir && echo inside >data/was-link/inside
echo same >data/mode-only && chmod 0640 data/mode-only
# as overlayfs copies up: a is a new file, linked with d; b and c stay with the old one
echo shared >data/hard/a && ln data/hard/a data/hard/d
write "$work/2.tar" data data/.wh.gone data/.wh.recreated data/recreated data/opaque data/opaque/new data/opaque/.wh..wh..opq \
  data/was-file data/was-file/inside data/was-dir data/was-link data/was-link/inside data/mode-only data/hard data/hard/a data/hard/d

# Layer 3: nothing but a directory.
mkdir "$work/3" && cd "$work/3"
mkdir -m 0711 data && write "$work/3.tar" data
layers=3

if [ "${ENGINE_REFUSES:-}" = 1 ]; then
  # Layer 4: the same path twice; an entry after which its hard link's target is written anew; a link down.
  layers=4
  mkdir "$work/4" && cd "$work/4"
  mkdir -p data/links
  echo first >data/twice && echo before >data/rewritten && ln data/rewritten data/link-to-old
  : >data/links/target && ln data/links/target data/links/hard
  write "$work/4.tar" data/twice data/rewritten data/link-to-old data/links/target data/links/hard
  tar --delete -f "$work/4.tar" data/links/target
  echo second >data/twice && rm data/rewritten && echo after >data/rewritten
  append=-r write "$work/4.tar" data/twice data/rewritten
fi

add() { # FILE: store it under its digest; prints digest and size
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  mv "$1" "$out/$digest"
  echo "sha256:$digest $(stat -c %s "$out/$digest")"
}

descriptor() { # TYPE DIGEST SIZE
  jq -nc --arg type "$1" --arg digest "$2" --argjson size "$3" '{mediaType: $type, size: $size, digest: $digest}'
}

docker=application/vnd.docker.image.rootfs.diff.tar
diff_ids=() descriptors=()
for number in $(seq $layers); do
  diff_ids+=("sha256:$(sha256sum "$work/$number.tar" | cut -d' ' -f1)")
  if [ "$number" = 4 ]; then
    zstd -q --rm "$work/$number.tar" -o "$work/layer" && type=$docker.zstd
  else
    gzip -n -c "$work/$number.tar" >"$work/layer" && type=$docker.gzip
  fi
  read -r digest size < <(add "$work/layer")
  descriptors+=("$(descriptor "$type" "$digest" "$size")")
done

jq --argjson ids "$(printf '%s\n' "${diff_ids[@]}" | jq -R . | jq -sc .)" --arg arch "$(dpkg --print-architecture)" --arg refuses "${ENGINE_REFUSES:-0}" \
  '.architecture = $arch | .config.Env += ["ENGINE_REFUSES=" + $refuses] | .rootfs.diff_ids = $ids' "$recipe/config.json" >"$work/config"
read -r digest size < <(add "$work/config")
printf '%s\n' "${descriptors[@]}" | jq -sc --argjson config "$(descriptor application/vnd.docker.container.image.v1+json "$digest" "$size")" \
  '{schemaVersion: 2, mediaType: "application/vnd.docker.distribution.manifest.v2+json", config: $config, layers: .}' >"$out/manifest.json"
