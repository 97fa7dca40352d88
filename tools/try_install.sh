#!/usr/bin/env bash
# Installs what is built into a temporary folder, one component and then all, and builds a project
# outside hearth's own against it.  tools/try_install.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  printf 'try_install: %s\n' "$*" >&2
  exit 1
}
configure() { # prefix, components: into a folder of the prefix's name
  cmake -G Ninja -S tests/package -B "$work/with $1" -DCMAKE_PREFIX_PATH="$work/$1" \
    -DCOMPONENTS="$2" >"$work/log" 2>&1
}
outside() { # prefix, components
  { configure "$1" "$2" && cmake --build "$work/with $1" >"$work/log" 2>&1; } || {
    cat "$work/log"
    fail "a project that uses the components '$2' does not build"
  }
}
refused() { # prefix, components, what CMake then says
  ! configure "$1" "$2" || fail "component '$2' was found, and is not installed"
  tr -s '\n ' ' ' <"$work/log" | grep -F "$3" >/dev/null || {
    cat "$work/log"
    fail "wanted the sentence: $3"
  }
}
links() { ldd "$1" | grep -oE 'lib(sqlite3|plist|pcre2|hearth-[a-z]+)[^ ]*\.so' | sort -u | xargs; }
foreign() { # prefix: headers of other projects that the installed ones include
  grep -rhoE '^ *# *include <[^>]*[./][^>]*>' "$work/$1/include" --include=*.h --include=*.inc |
    grep -vE '<(sys/[a-z]+|unistd)\.h>' | sort -u
}

# A space in the names: folders have them.
cmake --install "$build" --component hearth --prefix "$work/arrays only" >/dev/null
cmake --install "$build" --prefix "$work/all of it" >/dev/null

outside "arrays only" hearth
"$work/with arrays only/line" | grep '^y = ' >/dev/null || fail "line: wanted a line"
[ -z "$(links "$work/with arrays only/line")" ] || fail "hearth::hearth links $(links "$work/with arrays only/line")"
! foreign "arrays only" || fail "headers of hearth::hearth include those of other projects"
refused "arrays only" llm "there is no component 'llm' of hearth in $work/arrays only"
refused "arrays only" lab "there is no component 'lab' of hearth in $work/arrays only"
refused "all of it" lamb "there is no component 'lamb' of hearth in $work/all of it"

outside "all of it" "hearth;llm;lab"
"$work/with all of it/story" "$work/all of it/share/hearth/models/tiny-phi" | grep 'tokens/s' >/dev/null ||
  fail "story: wanted a story"
"$work/with all of it/facts" || fail "facts: wanted that A is faster"
! foreign "all of it" | grep -v '<nlohmann/' || fail "headers include those of other projects"
