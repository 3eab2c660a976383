#!/usr/bin/env bash
# test.sh [VITEST ARGUMENT...]: all tests, with everything that they need set up first.
# DEBLOAT_TEST_RESULTS=DIRECTORY: vitest's JSON results go there as well.
. "$(dirname "$0")/services.sh"

"$here/packages.sh" test
"$here/node.sh"
mapfile -t images < <("$here/images.sh" default)
start_services "${images[@]}"

cd "$repo"
vitest() { # NAME ARGUMENT...
  local reporters=(--reporter=default) name=$1
  shift
  [ -z "${DEBLOAT_TEST_RESULTS:-}" ] ||
    reporters+=(--reporter=json --outputFile.json="$DEBLOAT_TEST_RESULTS/$name.json")
  exec node node_modules/vitest/vitest.mjs run "${reporters[@]}" "$@"
}

if [ $# -gt 0 ]; then
  (vitest asked --project unit --project 'integration-*' "$@")
  exit
fi

# Two lanes side by side: those who build images wait for containers as much as those with virtual machines
# wait for their guests. A lane of its own has each file wait for the one before.
(vitest machines --project integration-machines) > >(sed -u 's/^/machines │ /') 2>&1 &
machines=$!
trap 'kill "$machines" 2>/dev/null || true; stop_services' EXIT
failed=0
(vitest images --project unit --project integration-images) || failed=1
wait "$machines" || failed=1
exit $failed
