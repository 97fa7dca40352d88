#!/usr/bin/env bash
# Unpacks a bundle (make gpu-bundle) in its own folder, the first time that one of its tools is used.
#   tools/gpu_unpack.sh BUNDLE
set -euo pipefail
for packed in "$1"/*.tar.xz; do
  [ -f "$packed" ] || continue
  if command -v xz >/dev/null; then
    tar -C "$1" -xJf "$packed"
  else
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$packed" "$1"
  fi
  rm "$packed"
done
