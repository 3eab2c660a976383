# Sourced by the demos: the shell's defaults, a directory of this run's own, and how steps are shown. A demo
# defines `stop_demo` for what it starts; it is called however the run ends.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
export DEBLOAT_TEST_STATE
DEBLOAT_TEST_STATE=$(mktemp -d "${TMPDIR:-/tmp}/dbt-XXXXXX")

finish() {
  stop_demo
  rm -rf "$DEBLOAT_TEST_STATE"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

title() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
show() { # print a command as a user would type it, then run it
  printf '$ %s\n' "$*" >&2
  "$@"
}
debloat() { node "$repo/dist/cli/main.js" "$@"; }
