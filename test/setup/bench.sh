#!/usr/bin/env bash
# bench.sh [VITEST ARGUMENT...]: the benchmarks (test/bench), which compare two things in one run each.
. "$(dirname "$0")/services.sh"

"$here/packages.sh" bench
"$here/node.sh"
mapfile -t images < <("$here/images.sh" default)
start_services "${images[@]}"

cd "$repo"
node node_modules/vitest/vitest.mjs run --project bench --reporter=verbose "$@"
