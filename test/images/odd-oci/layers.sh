#!/bin/sh
# The odd image with the entries that a Docker engine refuses.
ENGINE_REFUSES=1 exec "$(dirname "$0")/../odd/layers.sh" "$1"
