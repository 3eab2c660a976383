#!/usr/bin/env bash
# node.sh: node_modules as package-lock.json says, and a build of the sources as they are now.
. "$(dirname "$0")/lib.sh"
cd "$repo"

node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  die "Node $(node --version) is too old." "install Node 20.19 or later"

digest() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }

exec 9<package.json # two set-ups in one clone wait for each other
flock 9

# prepare would build a second time
lock=$(digest package.json package-lock.json)
if [ "$(cat node_modules/.debloat-lock 2>/dev/null)" != "$lock" ]; then
  say "installing npm packages"
  npm ci --ignore-scripts --no-audit --no-fund >&2
  echo "$lock" >node_modules/.debloat-lock
fi

sources=$(find cli analyzer builder attacher native -type f ! -name '*.test.ts' -print0 | sort -z |
  xargs -0 sha256sum tsconfig.json tsconfig.build.json package.json | sha256sum | cut -d' ' -f1)
if [ "$(cat dist/.debloat-sources 2>/dev/null)" != "$sources" ]; then
  say "building"
  npm run --silent build >&2
  echo "$sources" >dist/.debloat-sources
fi
