#!/usr/bin/env bash
# Puts what a GPU machine needs into one folder: programs, their libraries (not NVIDIA's), the tests
# with their data, the models.  tools/gpu_bundle.sh BUILD_FOLDER BUNDLE
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 bundle=$2
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,lib,tools,tests,share/hearth}
cp "$build/hearth" "$build/tests/hearth_tests" "$build/bench/bench_elementwise" "$bundle/bin/"
cp -L "$build/libhearth.so.0" "$build/libhearth-cuda.so" "$bundle/lib/"
# Libraries of the distribution that the other machine may lack; never the C library.
ldd "$bundle"/bin/* "$bundle/lib/libhearth.so.0" |
  awk '$3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*|libhearth[^/]*)\.so' |
  xargs -I{} cp -L {} "$bundle/lib/"
[ -n "${KEEP_SYMBOLS:-}" ] || strip "$bundle"/bin/* "$bundle"/lib/* 2>/dev/null || true
cp -r models "$bundle/"
ln -s ../../models "$bundle/share/hearth/models"
cp -r hearth/lab/engines "$bundle/share/hearth/engines"
rm -rf "$bundle/share/hearth/engines/__pycache__"
cp -r tests/data "$bundle/tests/"
cp tools/gpu_check.sh tools/gpu_bench.sh tools/gpu_lab.sh tools/gpu_peers.py "$bundle/tools/"
size=$(du -sm --apparent-size "$bundle" | cut -f1)
echo "$bundle: $size MB"
