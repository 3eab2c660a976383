# Shared by the scripts of this folder: where things are, how to speak, how to own a daemon.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${DEBLOAT_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/debloat-test}
# State of what runs now. A test run has its own; by hand it is one for this user.
state=${DEBLOAT_TEST_STATE:-$cache/run}
mkdir -p "$cache" "$state"

say() { printf '%s\n' "→ $*" >&2; }
die() { # SENTENCE [HINT]
  printf '%s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}

# Field 22 of /proc/PID/stat: tells a process from a later one with the same pid.
start_time_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

is_alive() { # NAME: the daemon of this state directory
  local pid start
  read -r pid start 2>/dev/null <"$state/$1.pid" || return 1
  [ -n "$start" ] && [ "$(start_time_of "$pid")" = "$start" ]
}

start_daemon() { # NAME COMMAND...: in its own session, so that Ctrl-C reaches it only through us
  local name=$1 pid
  shift
  setsid "$@" </dev/null >"$state/$name.log" 2>&1 &
  pid=$!
  printf '%s %s\n' "$pid" "$(start_time_of "$pid")" >"$state/$name.pid"
}

stop_daemon() { # NAME: ends only the very process that was started
  local pid start
  if is_alive "$1"; then
    read -r pid start <"$state/$1.pid"
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 150); do
      [ "$(start_time_of "$pid")" = "$start" ] || break
      sleep 0.2
    done
    if [ "$(start_time_of "$pid")" = "$start" ]; then kill -9 "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$state/$1.pid"
}

wait_for() { # NAME SECONDS COMMAND...: until it succeeds or the daemon has ended
  local name=$1 tries=$(($2 * 5))
  shift 2
  for _ in $(seq "$tries"); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    is_alive "$name" || return 1
    sleep 0.2
  done
  return 1
}
