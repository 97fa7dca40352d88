#!/bin/sh
# Has the program print its completions and its manual page, and lays them out as they are installed
# under share/:  cmake/pages.sh HEARTH FOLDER
set -eu
hearth=$1 share=$2
mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" \
  "$share/fish/vendor_completions.d" "$share/man/man1"
"$hearth" completions bash >"$share/bash-completion/completions/hearth"
"$hearth" completions zsh >"$share/zsh/site-functions/_hearth"
"$hearth" completions fish >"$share/fish/vendor_completions.d/hearth.fish"
"$hearth" man >"$share/man/man1/hearth.1"
gzip -9nf "$share/man/man1/hearth.1"
