#!/bin/sh
# Gives the volume to the redis user, then becomes the server as that user.
set -e

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi

exec "$@"
