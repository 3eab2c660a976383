#!/bin/sh
# Makes debloat ready on a CI runner: the system's tools, then (from a fresh checkout) its own build.
# INPUT_OVERLAY says which file system tools are needed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)

fail() { # SENTENCE
  echo "::error title=debloat::$1"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has node || fail 'there is no Node.js: put actions/setup-node with node-version 20.19 or later before this step'
node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
' || fail "Node.js $(node --version) is too old: put actions/setup-node with node-version 20.19 or later before this step"

is_built() { [ -f "$root/dist/cli/action/main.js" ] && [ -d "$root/dist/native" ] && [ -d "$root/node_modules/commander" ]; }

wanted=
need() { has "$1" || wanted="$wanted $2"; }
need skopeo skopeo
case ${INPUT_OVERLAY:-squashfs} in
  ext4) need mke2fs e2fsprogs ;;
  erofs) need mkfs.erofs erofs-utils ;;
  *) need sqfstar squashfs-tools ;;
esac
has docker || has podman || has crun || need runc runc
is_built || need "${CC:-cc}" 'gcc libc6-dev'

if [ -n "$wanted" ]; then
  has apt-get || fail "these packages are missing:$wanted"
  as_root=
  if [ "$(id -u)" != 0 ]; then
    has sudo || fail "these packages are missing, and this user cannot install them:$wanted"
    as_root=sudo
  fi
  echo "Installing$wanted"
  # shellcheck disable=SC2086 # words are meant
  { $as_root apt-get update -qq && $as_root apt-get install -qq --yes --no-install-recommends $wanted; } >&2 ||
    fail "apt-get could not install:$wanted"
fi

if ! is_built; then
  echo 'Building debloat'
  # `npm ci` builds it too (the package's prepare script), for which the development packages are needed
  (cd "$root" && npm ci --include=dev --no-audit --no-fund --loglevel=error) >&2 || fail 'debloat could not be built; the log says why'
fi
