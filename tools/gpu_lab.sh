#!/usr/bin/env bash
# The lab on a GPU: the post's job (10 prompt tokens and 190 new, Phi-2's shape, f16) through hearth
# and transformers, eager and compiled, then why. Results, report and summary go to FOLDER.
#   tools/gpu_lab.sh [FOLDER]      from a bundle (make gpu-bundle) or its copy
# ENGINES, MODEL, TOKENS, PAIRS, SECONDS_EACH, LIMIT (of the whole run, in seconds) can be set.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/gpu_unpack.sh" "$root" || exit 1
out=${1:-$root/lab}
mkdir -p "$out"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# Where containers have the driver's libraries, NVML among them.
[ -d /usr/local/nvidia/lib64 ] && LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/usr/local/nvidia/lib64"
hearth=${HEARTH:-$root/bin/hearth}
engines=${ENGINES:-hearth:cuda,torch:cuda,torch:cuda:compile=1}
result="$out/post.json"

# Interrupted at its limit a run keeps what it has; it is killed only if it does not end then.
timeout --signal INT --kill-after 20 "${LIMIT:-230}" "$hearth" lab run \
  --model "${MODEL:-$root/models/configs/phi-2}" --random-weights --dtype "${DTYPE:-f16}" \
  --engines "$engines" \
  --job generate --prompt-tokens 10 --tokens "${TOKENS:-190}" --telemetry 100ms \
  --pairs "${PAIRS:-6}" --seconds "${SECONDS_EACH:-12}" --warmup 2 --overwrite -o "$result" 2>&1 |
  tee "$out/run.log"

if [ ! -s "$result" ]; then
  echo "no result: see $out/run.log" >&2
  exit 1
fi

"$hearth" lab compare "$result" | tee "$out/compare.txt"
# Why: of every two engines, the later one first.
IFS=, read -ra names <<<"$engines"
for ((i = 0; i < ${#names[@]}; i++)); do
  for ((j = i + 1; j < ${#names[@]}; j++)); do
    printf '\n== %s against %s\n' "${names[j]}" "${names[i]}"
    "$hearth" lab explain "$result" "${names[j]}" "${names[i]}"
  done
done 2>&1 | tee "$out/explain.txt"
"$hearth" lab report "$result" -o "$out/post.html" >"$out/terminal.txt"
"$hearth" lab export "$result" -f md -o "$out/post.md"
cat "$out/post.md"
