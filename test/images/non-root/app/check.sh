#!/bin/sh
# The health check needs tools that the server itself never uses.
test -r /srv/app/secret.txt && grep -q . /proc/net/tcp && id -u | grep -qx 1000
