#!/usr/bin/env bash
# engine.sh start|stop: a Docker engine. One that answers already is used as it is, and never stopped.
# `start` prints the DOCKER_HOST to use (nothing: the default).
. "$(dirname "$0")/lib.sh"

socket=unix://$state/docker.sock

start() {
  if is_alive dockerd; then
    echo "$socket"
    return
  fi
  if timeout 20 docker info >/dev/null 2>&1; then return; fi
  [ "$(id -u)" = 0 ] || die "no Docker engine answers, and starting one needs root." "start one, or run as root"
  command -v dockerd >/dev/null || die "dockerd is not installed." "run test/setup/packages.sh test"
  ip link show docker0 >/dev/null 2>&1 || touch "$state/docker0.ours"
  # Without a usable netfilter the engine still runs containers on its bridge, only publishes no ports.
  local attempt
  for attempt in "" "--iptables=false --ip6tables=false"; do
    say "starting dockerd $attempt"
    # shellcheck disable=SC2086 # a list of flags
    start_daemon dockerd dockerd --host "$socket" --data-root "$cache/docker" \
      --exec-root "$state/docker-exec" --pidfile "$state/docker-engine.pid" $attempt
    if wait_for dockerd 60 docker --host "$socket" info; then
      echo "$socket"
      return
    fi
    stop_daemon dockerd
    cp "$state/dockerd.log" "$state/dockerd.first.log"
  done
  tail -5 "$state/dockerd.log" >&2
  die "dockerd did not start (its log: $state/dockerd.log)."
}

stop() {
  stop_daemon dockerd
  if [ -e "$state/docker0.ours" ]; then ip link delete docker0 2>/dev/null || true; fi
  # dockerd leaves the mount of its default network namespace behind when it is ended hard.
  awk -v under="$state/docker-exec/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r mounted; do umount -l "$mounted" || true; done
  rm -rf "$state/docker0.ours" "$state/docker-exec" "$state/docker.sock"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) die "usage: engine.sh start|stop" ;;
esac
