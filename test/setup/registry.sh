#!/usr/bin/env bash
# registry.sh start|stop|address: a registry (Debian's docker-registry) on a free loopback port.
# Its storage lives as long as it runs.
. "$(dirname "$0")/lib.sh"

answers() { curl --fail --silent --max-time 2 --noproxy '*' "http://$1/v2/"; }

start() {
  if is_alive registry; then
    cat "$state/registry.address"
    return
  fi
  command -v docker-registry >/dev/null || die "docker-registry is not installed." "run test/setup/packages.sh test"
  rm -rf "$state/registry"
  mkdir -p "$state/registry"
  # A port may be taken between choosing and binding: then the registry ends, and another is tried.
  for _ in 1 2 3 4 5; do
    local address
    address=localhost:$("$(dirname "$0")/free-port.sh")
    cat >"$state/registry.yml" <<END
version: 0.1
log: { level: warn }
storage:
  filesystem: { rootdirectory: $state/registry }
  delete: { enabled: true }
http: { addr: 127.0.0.1:${address#*:} }
END
    start_daemon registry docker-registry serve "$state/registry.yml"
    if wait_for registry 20 answers "$address"; then
      echo "$address" | tee "$state/registry.address"
      return
    fi
    stop_daemon registry
  done
  tail -5 "$state/registry.log" >&2
  die "the registry did not start (its log: $state/registry.log)."
}

case ${1:-} in
  start) start ;;
  stop)
    stop_daemon registry
    rm -rf "$state/registry" "$state/registry.address"
    ;;
  address) is_alive registry && cat "$state/registry.address" ;;
  *) die "usage: registry.sh start|stop|address" ;;
esac
