#!/usr/bin/env bash
# Puts what a GPU machine needs into one folder: programs, their libraries (not NVIDIA's), the tests
# with their data, the models; packed, since it travels, but for the tools that unpack it. At most
# 36 MB.  tools/gpu_bundle.sh BUILD_FOLDER BUNDLE
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 bundle=$2
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,lib,tools,tests,share/hearth}
cp "$build/hearth" "$build/tests/hearth_tests" "$build/bench/bench_elementwise" "$bundle/bin/"
cp -L "$build"/libhearth*.so.0 "$build/libhearth-cuda.so" "$bundle/lib/"
tools/carry_libraries.sh "$bundle/lib" "$bundle"/bin/* "$bundle"/lib/libhearth*.so*
[ -n "${KEEP_SYMBOLS:-}" ] || strip "$bundle"/bin/* "$bundle"/lib/* 2>/dev/null || true
cp -r models "$bundle/"
ln -s ../../models "$bundle/share/hearth/models"
cp -r hearth/lab/engines "$bundle/share/hearth/engines"
rm -rf "$bundle/share/hearth/engines/__pycache__"
cp -r tests/data tests/fuzz "$bundle/tests/"
cp tools/gpu_*.sh tools/gpu_peers.py "$bundle/tools/"
rm "$bundle/tools/gpu_bundle.sh"
kilobytes() { du -s --block-size=1000 --apparent-size "$bundle" | cut -f1; }
unpacked=$(kilobytes)
pack() { # name, options of xz, folders: code by x86's filter, data as pairs of bytes
  tar -C "$bundle" --sort=name --owner=0 --group=0 -c "${@:3}" | xz $2 >"$bundle/$1.tar.xz"
}
pack programs "--x86 --lzma2=preset=9e,dict=64MiB" bin lib
pack data "--lzma2=preset=9e,lc=3,lp=1,pb=1" models share tests
rm -r "$bundle"/{bin,lib,models,share,tests}
packed=$(kilobytes)
echo "$bundle: $((packed / 1000)).$((packed % 1000 / 100)) MB, unpacked $((unpacked / 1000)) MB"
[ "$packed" -lt 36000 ] || {
  echo "$bundle: wanted less than 36 MB" >&2
  exit 1
}
