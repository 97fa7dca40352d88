#!/bin/sh
# Installs what hearth is built with and does nothing where all is there: `tools/install_packages.sh`,
# `... ci` for what continuous integration needs on top (clang, fuzzing, formatting), `... package`
# for what `make package` does.
set -eu

packages="g++ make cmake ninja-build pkg-config ccache git
  libhwy-dev libopenblas-dev libfmt-dev nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev libzip-dev zlib1g-dev libsqlite3-dev libplist-dev nettle-dev libedit-dev libcurl4-openssl-dev
  libgtest-dev libgmock-dev libbenchmark-dev python3 xz-utils"
[ "${1:-}" != ci ] || packages="$packages clang-14 libclang-rt-14-dev clang-format-14 patch"
[ "${1:-}" != package ] || packages="$packages dpkg-dev patchelf"

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
  echo "hearth needs these Debian packages, or their like here:$missing" >&2
  exit 1
}
sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "hearth needs packages; as root, run: apt-get install$missing" >&2
    exit 1
  }
  sudo="sudo"
fi
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086  # the list is words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
