#!/usr/bin/env bash
# Copies the shared libraries that programs and libraries need into a folder, so that they run where
# the distribution has others. Never the C library, which every machine has, nor hearth's own.
#   tools/carry_libraries.sh FOLDER FILE...
set -euo pipefail
folder=$1
shift
needed=$(ldd "$@")
if missing=$(grep 'not found' <<<"$needed"); then
  printf 'carry_libraries: on this machine too these are missing:\n%s\n' "$missing" >&2
  exit 1
fi
sed -n 's/.* => \(\/.*\) (0x[0-9a-f]*)$/\1/p' <<<"$needed" | sort -u |
  grep -vE '/(libc|libm|libmvec|libdl|libpthread|librt|libresolv|libutil|ld-linux[^/]*|libhearth[^/]*)\.so' |
  xargs -d '\n' cp -L -t "$folder"
