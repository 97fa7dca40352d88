#!/usr/bin/env bash
# Tries what `make package` made where nothing else is: the Debian package on a bare Debian 12, the
# archive on a bare Debian 12 and 13, in a folder with a space in its name.
#   tools/try_package.sh [--here] [FOLDER_OF_PACKAGES]
# With --here both are unpacked and tried on this system alone, which takes seconds (.ci/run). Else it
# needs root, debootstrap and Debian's archive; without them it says so and exits with 77. Systems are
# made in a temporary folder; $HEARTH_BASES names a folder that keeps the bare ones for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
here=
[ "${1:-}" != --here ] || { here=yes && shift; }
packages=${1:-build/package}

skip() {
  echo "try_package: skipped: $*" >&2
  exit 77
}
fail() {
  echo "try_package: $*" >&2
  exit 1
}
if [ -z "$here" ]; then
  [ "$(id -u)" = 0 ] || skip "a chroot needs root"
  command -v debootstrap >/dev/null || skip "there is no debootstrap; apt-get install debootstrap"
  unshare --mount --pid --fork true 2>/dev/null || skip "this system lets nobody mount (unshare)"
fi
deb=$(find "$packages" -name 'hearth_*.deb') archive=$(find "$packages" -name 'hearth-*.tar.gz')
[ "$deb" ] && [ "$archive" ] || fail "no packages in $packages; make package"

work=$(mktemp -d)
bases=${HEARTH_BASES:-$work/bases}
trap 'rm -rf --one-file-system "$work"' EXIT

# bare SYSTEM SUITE: Debian's smallest in $work/SYSTEM, with the outside project of the tests.
bare() {
  if [ ! -d "$bases/$2" ]; then
    mkdir -p "$bases"
    debootstrap --variant=minbase "$2" "$bases/$2.part" >"$work/log" 2>&1 || {
      tail -n 5 "$work/log" >&2
      skip "debootstrap $2 failed: Debian's archive is not reached, or the suite is not known"
    }
    mv "$bases/$2.part" "$bases/$2"
  fi
  cp -a "$bases/$2" "$work/$1"
  cp /etc/resolv.conf "$work/$1/etc/resolv.conf"
  mkdir -p "$work/$1/src/tests"
  cp -r tests/package "$work/$1/src/tests/"
  cp -r examples "$work/$1/src/"
}

# inside SYSTEM: runs standard input there; what it mounts is gone with it.
inside() {
  # shellcheck disable=SC2016
  env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    unshare --mount --pid --fork sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -eu -c "$2"' \
    sh "$work/$1" "$functions$(cat)" >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    fail "$2 failed"
  }
  echo "$2: good"
}

# What the systems have in common. No grep -q: it would end before the program has said all, and
# the program's end by SIGPIPE would count. `hearth` is the program's path.
# shellcheck disable=SC2016  # for the inner shell
functions='
fail() { echo "$*"; exit 1; }
runs() { # PROGRAM
  text=$("$1" generate --prompt "Once upon a time" --max-tokens 20) || fail "generate: $text"
  [ "$(printf %s "$text" | wc -w)" -gt 10 ] || fail "generate: wanted a story, got: $text"
  "$1" info | grep cpu >/dev/null || fail "info: wanted the cpu"
  "$1" lab engines | grep "^hearth" >/dev/null || fail "lab engines: wanted hearth"
}
compiles() { # PREFIX, MODELS: the outside project, with all components
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends g++ make cmake nlohmann-json3-dev >/dev/null
  cmake -S /src/tests/package -B "/tmp/with hearth" -DCMAKE_PREFIX_PATH="$1" -DCOMPONENTS="hearth;llm;lab"
  make -C "/tmp/with hearth" VERBOSE=1
  "/tmp/with hearth/line"
  "/tmp/with hearth/story" "$2/tiny-phi"
  "/tmp/with hearth/facts"
  ! ldd "/tmp/with hearth/line" | grep -E "sqlite|plist|not found"
}
carried() { # FOLDER: its programs and libraries load nothing from elsewhere but the C library
  objects=$(mktemp)
  find "$1/bin" "$1/lib" -type f \( -name "*.so*" -o -path "*/bin/*" \) >"$objects"
  while read -r object; do
    loaded=$(ldd "$object") || fail "ldd $object"
    ! printf "%s\n" "$loaded" | grep "not found" || fail "$object is not complete"
    ! printf "%s\n" "$loaded" | sed -n "s/.* => \(.*\) (0x.*/\1/p" | grep -vF "$1/" |
      grep -vE "/(libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|ld-linux[^/]*)\.so" ||
      fail "$object loads what the archive does not carry"
  done <"$objects"
  [ "$(wc -l <"$objects")" -gt 4 ] || fail "$1: wanted a program and libraries"
  [ -e "$1/lib/hearth/libcurl.so.4" ] || fail "$1: pull opens libcurl.so.4, which is not carried"
}
'

if [ "$here" ]; then
  eval "$functions"
  mkdir -p "$work/an odd folder" "$work/deb"
  tar -xzf "$archive" -C "$work/an odd folder" --strip-components=1
  carried "$work/an odd folder"
  runs "$work/an odd folder/bin/hearth"
  echo "the archive on this system: good"
  dpkg-deb -x "$deb" "$work/deb"
  for file in bin/hearth share/man/man1/hearth.1.gz share/bash-completion/completions/hearth \
    share/zsh/vendor-completions/_hearth share/fish/vendor_completions.d/hearth.fish \
    share/hearth/models/tiny-phi/config.json include/hearth/ops/ops.h share/doc/hearth/copyright; do
    [ -s "$work/deb/usr/$file" ] || fail "the Debian package lacks /usr/$file"
  done
  depends=$(dpkg-deb -f "$deb" Depends)
  for library in libc6 libfmt libsqlite3-0 libpcre2-8-0; do
    case ", $depends" in *", $library"*) ;; *) fail "the Debian package does not depend on $library: $depends" ;; esac
  done
  LD_LIBRARY_PATH=$work/deb/usr/lib runs "$work/deb/usr/bin/hearth"
  echo "the Debian package, unpacked on this system: good"
  exit
fi

bare deb bookworm
cp "$deb" "$work/deb/hearth.deb"
inside deb "the Debian package on a bare Debian 12" <<'END'
apt-get update -qq
apt-get install -y -qq /hearth.deb >/dev/null
runs hearth
hearth lab engines | grep "No module named 'torch'" >/dev/null || fail "lab engines: the adapters do not run"
apt-get install -y -qq --no-install-recommends man-db bash-completion zsh fish >/dev/null
man hearth | cat >/tmp/page
grep -q "hearth generate" /tmp/page || fail "man hearth: wanted its commands"
warnings=$(MANWIDTH=80 man --warnings -l /usr/share/man/man1/hearth.1.gz 2>&1 >/dev/null)
[ -z "$warnings" ] || fail "man: $warnings"
bash -n /usr/share/bash-completion/completions/hearth
bash -c '. /usr/share/bash-completion/completions/hearth
COMP_WORDS=(hearth gen) COMP_CWORD=1; _hearth; [ "${COMPREPLY[*]}" = generate ]' || fail "bash does not complete gen"
zsh -n /usr/share/zsh/vendor-completions/_hearth
[ "$(zsh -fc 'autoload -Uz compinit; compinit -u; print $_comps[hearth]')" = _hearth ] || fail "zsh does not find _hearth"
fish --no-execute /usr/share/fish/vendor_completions.d/hearth.fish
fish -c 'complete -C "hearth gen"' | grep '^generate' >/dev/null || fail "fish does not complete gen"
compiles /usr /usr/share/hearth/models
apt-get remove -y -qq hearth >/dev/null
! ls -d /usr/share/hearth /usr/include/hearth /usr/lib/libhearth* 2>/dev/null || fail "removed, it leaves this"
END

for system in bookworm:12 trixie:13; do
  bare "${system%:*}-archive" "${system%:*}"
  mkdir -p "$work/${system%:*}-archive/opt/an odd folder"
  tar -xzf "$archive" -C "$work/${system%:*}-archive/opt/an odd folder" --strip-components=1
  inside "${system%:*}-archive" "the archive on a bare Debian ${system#*:}" <<'END'
carried "/opt/an odd folder"
runs "/opt/an odd folder/bin/hearth"
ln -s "/opt/an odd folder/bin/hearth" /usr/local/bin/hearth
runs hearth
compiles "/opt/an odd folder" "/opt/an odd folder/share/hearth/models"
END
done
