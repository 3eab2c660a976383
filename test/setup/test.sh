#!/usr/bin/env bash
# test.sh [VITEST ARGUMENT...]: all tests, with everything that they need set up first.
# DEBLOAT_TEST_RESULTS=FILE: vitest's JSON results go there as well.
. "$(dirname "$0")/services.sh"

"$here/packages.sh" test
"$here/node.sh"
mapfile -t images < <("$here/images.sh" default)
start_services "${images[@]}"

cd "$repo"
reporters=(--reporter=default)
[ -z "${DEBLOAT_TEST_RESULTS:-}" ] || reporters+=(--reporter=json --outputFile.json="$DEBLOAT_TEST_RESULTS")
node node_modules/vitest/vitest.mjs run --project unit --project integration "${reporters[@]}" "$@"
