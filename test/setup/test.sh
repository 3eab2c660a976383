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

# Two lanes side by side: one waits for containers as much as the other for its guests. Those on KVM come
# after, alone: where KVM itself is emulated, a guest that does not get a processor does nothing but ticks.
(vitest guests --project integration-guests) > >(sed -u 's/^/guests │ /') 2>&1 &
guests=$!
trap '[ -z "$guests" ] || kill "$guests" 2>/dev/null || true; stop_services' EXIT
failed=0
(vitest images --project unit --project integration-images) || failed=1
wait "$guests" || failed=1
guests=
(vitest kvm --project integration-kvm) || failed=1
exit $failed
