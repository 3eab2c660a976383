# Sourced by test.sh and bench.sh: a registry and an engine of this run's own, the test images in both,
# and everything that was started stopped again however the run ends.
export DEBLOAT_TEST_STATE
DEBLOAT_TEST_STATE=$(mktemp -d "${TMPDIR:-/tmp}/dbt-XXXXXX")
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/lib.sh"

stop_services() {
  "$here/registry.sh" stop
  "$here/engine.sh" stop
  rm -rf "$DEBLOAT_TEST_STATE"
}
trap stop_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_services() { # IMAGE...
  local host
  "$here/images.sh" build "$@"
  host=$("$here/engine.sh" start)
  [ -z "$host" ] || export DOCKER_HOST=$host
  DEBLOAT_TEST_REGISTRY=$("$here/registry.sh" start)
  export DEBLOAT_TEST_REGISTRY
  "$here/images.sh" push "$DEBLOAT_TEST_REGISTRY" "$@"
  "$here/images.sh" load "$@"
}
