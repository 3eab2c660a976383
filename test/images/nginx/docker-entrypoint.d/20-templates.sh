#!/bin/sh
# Fills the environment into the templates: writes a file while the container runs.
set -e

for template in /etc/nginx/templates/*.template; do
  envsubst '$SITE_NAME' <"$template" >"/etc/nginx/conf.d/$(basename "$template" .template)"
done
rm -f /etc/nginx/sites-enabled/default
