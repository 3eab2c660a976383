# Sourced: apt for another suite than the host's, its state kept below a directory, nothing installed.

# apt_below DIR SUITE: fetch SUITE's list; afterwards `apt TOOL ARGUMENTS` asks it. DIR/deb is for downloads.
apt_below() {
  apt_dir=$1
  mkdir -p "$apt_dir/apt/lists/partial" "$apt_dir/apt/cache/archives/partial" "$apt_dir/deb"
  # The mirror and its key are the host's.
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
  key=$(sed -n 's/^Signed-By: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
  [ -n "$mirror" ] || mirror=$(sed -n 's/^deb .*\(https\{0,1\}:[^ ]*\).*/\1/p' /etc/apt/sources.list | head -n 1)
  echo "deb ${key:+[signed-by=$key]} $mirror $2 main" >"$apt_dir/apt/sources.list"
  apt apt-get update
}

apt() {
  tool=$1
  shift
  "$tool" -qq -o Dir::Etc::sourcelist="$apt_dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt_dir/apt/lists" -o Dir::Cache="$apt_dir/apt/cache" \
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"
}
