#!/usr/bin/env bash
# apt-sources.sh DIR: how this machine reaches Debian, for builds to borrow: DIR/sources.list and
# DIR/apt.conf for mmdebstrap; DIR/mnt and DIR/mnt/apt.conf to be mounted at /mnt and /etc/apt/apt.conf
# while an image is built.
# Images themselves keep the public mirror (test/images/base/sources.list).
. "$(dirname "$0")/lib.sh"
mkdir -p "$1"

suite=bookworm
public=$repo/test/images/base/sources.list

# A mirror that this machine uses for the same release serves the images too.
key=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
  awk -F'|' -v s=$suite -v k=$key \
    '$1 ~ /^Debian/ && $2 ~ "^" s && $5 == "main" { print "deb [signed-by=" k "] " $3 " " $4 " main" }' |
  sort -u >"$1/sources.list"
grep -q " $suite main" "$1/sources.list" || cp "$public" "$1/sources.list"

# Proxies, certificates and clock checks, but none of the machine's tastes.
apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date|Max-FutureTime)(::| )' |
  grep -v ' "";$' >"$1/apt.conf" || true
cat >>"$1/apt.conf" <<'END'
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
END

rm -rf "$1/mnt"
mkdir -p "$1/mnt"
cp "$1/sources.list" "$1/apt.conf" "$1/mnt"
echo 'Dir::Etc::sourcelist "/mnt/sources.list";' >>"$1/mnt/apt.conf"
echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };' >>"$1/mnt/apt.conf"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  cp /etc/ssl/certs/ca-certificates.crt "$1/mnt/ca.crt"
  echo 'Acquire::https::CAInfo "/mnt/ca.crt";' >>"$1/mnt/apt.conf"
fi
