#!/bin/sh
# Runs the scripts of /docker-entrypoint.d in order, then becomes the command.
set -e

if [ "$1" = nginx ]; then
  for script in $(find /docker-entrypoint.d -name '*.sh' | sort); do
    "$script"
  done
fi

exec "$@"
