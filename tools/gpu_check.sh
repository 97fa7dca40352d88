#!/usr/bin/env bash
# Everything that needs a GPU, checked: every operation on the device against its expected values,
# gradients, the models' goldens, memory errors and races. Prints a table; exit 1 if anything fails.
#   tools/gpu_check.sh [LOG_FOLDER]      from a bundle (make gpu-bundle) or its copy
# Tests run in as many processes as there are cores, each with a part of them. ONLY=FILTER runs some.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/gpu_unpack.sh" "$root" || exit 1
logs=${1:-$root/logs}
mkdir -p "$logs"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export HEARTH_SOURCE_DIR="$root" HEARTH_BINARY="$root/bin/hearth" HEARTH_SHARED=/nonexistent
export tests="$root/bin/hearth_tests" logs
# What is of the host alone is not tried: the tests of these files, and those of tables of kernels
# and queues that tests make up.
files='tests/(base|cli|io/(hub|json|mapped_file|npy_header|pull|recognize|safetensors_header)|lab/[^e]|'
files+='llm/(chat|describe|onig|pre_tokenizer|reasoning|recognize|tokenizer)|core/eval|'
files+='backend/(batch_queue|cuda_architectures|math|null_backend|plugin|pool)|ops/docs)'
"$tests" --gtest_list_tests --gtest_output="xml:$logs/tests.xml" >/dev/null
tests_of() {  # a pattern of files: their tests, as a filter
  awk -v files="$1" '
    match($0, /<testsuite name="[^"]*"/) { suite = substr($0, RSTART + 17, RLENGTH - 18) }
    $0 ~ files && match($0, /<testcase name="[^"]*"/) {
      printf "%s.%s:", suite, substr($0, RSTART + 16, RLENGTH - 17)
    }' "$logs/tests.xml"
}
host=$(tests_of "$files")
[ -n "$host" ] || { echo "gpu_check: no test says which file it is of" >&2; exit 1; }
# What differs by design (docs/design.md): a kernel cannot throw, and an address in device memory is
# not the host's.
host+='Memory*:Recording.RefusesSeveralStreams'
host+=':Index.OutOfRangeThrowsWhenEvaluated:Index.HostileIndicesOfEveryTypeAndAmount'
host+=':Fast.CachedAttentionRefusesPositionsBeyondTheCache:Fast.CachedAttentionWritesInPlace'
export host
# Quantizing, Fourier transforms and linear algebra run on the CPU, wherever they are asked for.
fallen=$(tests_of 'tests/(compat|llm/(gguf|importance|quantized)|nn/module|ops/(blocks|fft|linalg|packing|quantize)|transforms/(compile|transforms))')
failed=0
rows=()

# One part of the tests that a filter names: part, parts, name, limit in seconds, filter, checker...
part() {
  export GTEST_SHARD_INDEX=$1 GTEST_TOTAL_SHARDS=$2
  timeout "$4" "${@:6}" "$tests" --gtest_brief=1 --gtest_filter="$5-$host$but" \
    --gtest_output="json:$logs/$3.$1.json" >"$logs/$3.$1.log" 2>&1
  local result=$?
  [ $result = 0 ] || echo "part $1 of $2: exit $result" >>"$logs/$3.$1.log"
  return $result
}
export -f part

check() { # name, limit in seconds, parts, filter, checker...
  local name=$1 parts=$3 from=$SECONDS result=passed tried
  seq 0 $((parts - 1)) |
    xargs -P "$(nproc)" -I{} bash -c 'part "$@"' _ {} "$parts" "$name" "$2" "${@:4}" ||
    { result=FAILED failed=1; }
  cat "$logs/$name".*.log >"$logs/$name.log"
  tried=$(cat "$logs/$name".*.json 2>/dev/null | grep -c '"status": "RUN"')
  rows+=("$(printf '%-12s %-7s %5d s  %d tests, %d failed, %d skipped' "$name" $result \
    $((SECONDS - from)) "$tried" "$(grep -c '^\[  FAILED  \].* ms)' "$logs/$name.log")" \
    "$(cat "$logs/$name".*.json 2>/dev/null | grep -c '"result": "SKIPPED"')")")
  rm -f "$logs/$name".*.log
}

"$root/bin/hearth" info | tee "$logs/info.log"
export HEARTH_DEVICE=cuda HEARTH_THREADS=2 but=
but=:$fallen HEARTH_STRICT_DEVICE=1 check conformance "${LIMIT:-240}" $((6 * $(nproc))) "${ONLY:-*}"
[ -n "${ONLY:-}" ] || but= check fallen "${LIMIT:-240}" "$(nproc)" "$fallen"
if [ -n "${ONLY:-}" ]; then
  :
elif command -v compute-sanitizer >/dev/null; then
  small='Softmax.*:Sort.*:Scan.*:Matmul.*:Recording.*:Fast.Chunks*:Fast.NormsAnd*:Goldens/Models.*/tiny*'
  check memcheck 60 $(($(nproc) / 2)) "$small" compute-sanitizer --tool memcheck --error-exitcode 9
  check racecheck 90 1 'Softmax.*:Scan.*:Recording.*' compute-sanitizer --tool racecheck \
    --error-exitcode 9
else
  rows+=("memcheck     not here: compute-sanitizer is not installed")
fi
grep -h '^\[  FAILED  \].* ms)' "$logs"/*.log | sed 's/ (.*//' | sort | uniq -c | sort -rn | head -100
grep -h ': exit ' "$logs"/*.log
printf '\n%s\n' "${rows[@]}" | tee "$logs/table.txt"
exit $failed
