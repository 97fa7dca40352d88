#!/usr/bin/env bash
# Everything that needs a GPU, checked: every operation on the device against its expected values,
# gradients, the models' goldens, memory errors and races. Prints a table; exit 1 if anything fails.
#   tools/gpu_check.sh [LOG_FOLDER]      from a bundle (make gpu-bundle) or its copy
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/gpu_unpack.sh" "$root" || exit 1
logs=${1:-$root/logs}
mkdir -p "$logs"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export HEARTH_SOURCE_DIR="$root" HEARTH_BINARY="$root/bin/hearth" HEARTH_SHARED=/nonexistent
tests="$root/bin/hearth_tests"
# What is of the host alone is not tried: the tests of these files, and those of tables of kernels
# and queues that tests make up.
files='tests/(base|cli|io/(hub|json|mapped_file|npy_header|recognize|safetensors_header)|lab/[^e]|llm/(onig|'
files+='pre_tokenizer|recognize|tokenizer)|core/eval|backend/(batch_queue|cuda_architectures|math|'
files+='null_backend|plugin|pool)|ops/docs)'
"$tests" --gtest_list_tests --gtest_output="xml:$logs/tests.xml" >/dev/null
host=$(awk -v files="$files" '
  match($0, /<testsuite name="[^"]*"/) { suite = substr($0, RSTART + 17, RLENGTH - 18) }
  $0 ~ files && match($0, /<testcase name="[^"]*"/) {
    printf "%s.%s:", suite, substr($0, RSTART + 16, RLENGTH - 17)
  }' "$logs/tests.xml")
[ -n "$host" ] || { echo "gpu_check: no test says which file it is of" >&2; exit 1; }
# What differs by design (docs/design.md): a kernel cannot throw, and an address in device memory is
# not the host's.
host+='Memory*:Recording.RefusesSeveralStreams'
host+=':Index.OutOfRangeThrowsWhenEvaluated:Index.HostileIndicesOfEveryTypeAndAmount'
host+=':Fast.CachedAttentionRefusesPositionsBeyondTheCache:Fast.CachedAttentionWritesInPlace'
failed=0
rows=()

check() { # name, limit in seconds, command...
  local name=$1 limit=$2 from=$SECONDS result
  shift 2
  if timeout "$limit" "$@" >"$logs/$name.log" 2>&1; then result=passed; else
    result="FAILED ($?)"
    failed=1
  fi
  local counted
  counted=$(grep -oE '\[  (PASSED|FAILED)  \] [0-9]+ tests?' "$logs/$name.log" | tr '\n' ' ')
  rows+=("$(printf '%-12s %-14s %5d s  %s' "$name" "$result" $((SECONDS - from)) "$counted")")
}

"$root/bin/hearth" info | tee "$logs/info.log"
export HEARTH_DEVICE=cuda
HEARTH_STRICT_DEVICE=1 check conformance 240 "$tests" --gtest_brief=1 --gtest_filter="-$host"
if command -v compute-sanitizer >/dev/null; then
  small='Softmax.*:Sort.*:Scan.*:Matmul.*:Recording.*:Fast.Chunks*:Fast.NormsAnd*:Goldens/Models.*/tiny*'
  check memcheck 400 compute-sanitizer --tool memcheck --error-exitcode 9 "$tests" \
    --gtest_brief=1 --gtest_filter="$small-$host"
  check racecheck 90 compute-sanitizer --tool racecheck --error-exitcode 9 "$tests" \
    --gtest_brief=1 --gtest_filter="Softmax.*:Scan.*:Recording.*-$host"
else
  rows+=("memcheck     not here: compute-sanitizer is not installed")
fi
printf '\n%s\n' "${rows[@]}" | tee "$logs/table.txt"
exit $failed
