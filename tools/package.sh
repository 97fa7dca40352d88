#!/usr/bin/env bash
# Makes two packages of what is built: hearth_VERSION_ARCHITECTURE.deb, which depends on Debian's
# libraries, and hearth-VERSION-linux-MACHINE.tar.gz, which carries its libraries and needs the C
# library alone. The same build gives the same bytes.  tools/package.sh BUILD_FOLDER OUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 out=$2
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
architecture=$(dpkg --print-architecture)
# The time of all files, and in changelogs: that of the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-The hearth authors} <${DEBEMAIL:-authors@hearth.invalid}>"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# hearth's own programs and libraries under a prefix.
own() { find "$1/bin" "$1/lib" -maxdepth 1 -type f; }
# A library that needs those which hearth opens when it fetches something: what they need is found by it.
opened() {
  echo 'void *curl_url(void); void *one(void) { return curl_url(); }' |
    cc -shared -fPIC -o "$1" -x c - -lcurl
}
# What does not depend on who builds, and when.
tidy() {
  chmod -R u=rwX,go=rX "$1"
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

copyright() {
  echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
  echo "Upstream-Name: hearth"
  echo
  echo "Files: *"
  sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
  echo "License: Expat"
  sed '1,/^Copyright/d; /./,$!d' LICENSE | sed '1{/^$/d}; s/^$/./; s/^/ /'
}

debian_package() {
  local root=$work/debian/hearth
  local doc=$root/usr/share/doc/hearth
  DESTDIR=$root cmake --install "$build" --prefix /usr --strip >/dev/null
  own "$root/usr" | xargs -d '\n' patchelf --remove-rpath  # /usr/lib is searched anyway
  mkdir -p "$doc" "$root/DEBIAN" "$root/usr/share/zsh/vendor-completions"
  mv "$root"/usr/share/zsh/site-functions/* "$root/usr/share/zsh/vendor-completions/"
  rmdir "$root/usr/share/zsh/site-functions"
  copyright >"$doc/copyright"
  gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
  gzip -9n >"$doc/changelog.gz" <<END
hearth ($version) unstable; urgency=medium

  * hearth $version: its changes are in CHANGELOG.md.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
  own "$root/usr" | sed -n 's/.*\/\(libhearth[^/]*\)\.so\.\([0-9]*\)\..*/\1 \2 hearth (>= '"$version"')/p' |
    sort >"$root/DEBIAN/shlibs"
  echo "activate-noawait ldconfig" >"$root/DEBIAN/triggers"
  printf 'Source: hearth\n\nPackage: hearth\nArchitecture: any\n' >"$work/debian/control"
  local depends
  opened "$work/opened.so"
  depends=$(cd "$work" && { own debian/hearth/usr && echo opened.so; } |
    xargs -d '\n' dpkg-shlibdeps -O -xhearth -ldebian/hearth/usr/lib)
  cat >"$root/DEBIAN/control" <<END
Package: hearth
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: ${depends#shlibs:Depends=}
Recommends: ca-certificates, liblapack3 | libopenblas0, nlohmann-json3-dev, python3
Suggests: g++, cmake
Section: science
Priority: optional
Description: run, train and measure neural networks on your own machine
 hearth is an array framework with gradients, a runtime for language models in
 Hugging Face's format, and a lab that compares engines on one machine.
 .
 This package has the program hearth, a small language model that tells
 stories, and the libraries and headers to use hearth from C++.
END
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  tidy "$root"
  dpkg-deb --root-owner-group -Zxz --build "$root" "$out/hearth_${version}_$architecture.deb" >/dev/null
}

archive() {
  local name
  name=hearth-$version-linux-$(uname -m)
  local root=$work/$name
  local doc=$root/share/doc/hearth carried=$root/lib/hearth
  DESTDIR=$root cmake --install "$build" --prefix / --strip >/dev/null
  mkdir -p "$doc" "$carried"
  cp LICENSE README.md CHANGELOG.md "$doc/"
  opened "$work/opened.so"
  { own "$root" && echo "$work/opened.so"; } | xargs -d '\n' tools/carry_libraries.sh "$carried"
  # A program linked with hearth finds the carried ones through hearth's libraries, and of a library
  # that it has itself (a newer libstdc++) its own: they lie in a folder that only hearth searches.
  patchelf --set-rpath "\$ORIGIN" "$carried"/*
  local library package
  for library in "$carried"/*; do
    package=$(dpkg-query -S "*/${library##*/}" | sed 's/:.*//' | sort -u | head -n 1)
    mkdir -p "$doc/carried"
    cp -L "/usr/share/doc/$package/copyright" "$doc/carried/${library##*/}.copyright"
  done
  tidy "$root"
  tar -C "$work" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner -c "$name" | gzip -9n >"$out/$name.tar.gz"
}

mkdir -p "$out"
rm -f "$out"/hearth[-_]*
debian_package
archive
(cd "$out" && ls -sh --block-size=1M hearth[-_]*)
