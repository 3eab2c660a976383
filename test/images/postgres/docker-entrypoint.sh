#!/bin/bash
# Makes a database cluster on the first run, as the postgres user, then becomes the server.
set -euo pipefail

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown postgres "$PGDATA"
  chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username=postgres --auth=trust >/dev/null
  echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
  pg_ctl -o "-c listen_addresses=''" -w start >/dev/null
  psql --username=postgres --quiet <<'SQL'
CREATE TABLE visits (place text, at timestamptz DEFAULT now());
INSERT INTO visits (place) VALUES ('first run');
SQL
  pg_ctl -m fast -w stop >/dev/null
  exec "$@" -c listen_addresses='*'
fi

exec "$@" -c listen_addresses='*'
