#!/usr/bin/env bash
# The numbers of docs/performance.md on a GPU, with the peers that are installed there.
#   tools/gpu_bench.sh [LOG_FOLDER]      from a bundle (make gpu-bundle) or its copy
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/tools/gpu_unpack.sh" "$root" || exit 1
logs=${1:-$root/logs}
mkdir -p "$logs"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
hearth="$root/bin/hearth"
phi="$root/models/configs/phi-2"
ten=1,2,3,4,5,6,7,8,9,10

step() { printf '\n== %s\n' "$1"; }
step "device"
"$hearth" info
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.draw --format=csv,noheader || true
step "the post's job: 10 prompt tokens, 190 new, f16"
for i in 1 2 3; do
  "$hearth" generate --device cuda --model "$phi" --random-weights --dtype f16 --ids $ten \
    --max-tokens 190 --ignore-eos --stats --json >"$logs/generate_$i.json"
  python3 - "$logs/generate_$i.json" <<'P'
import json, sys
r = json.load(open(sys.argv[1]))
d = r["decode"]
print(f"decode {d['tokens_per_s']:.1f} tokens/s, {d['gb_per_s']:.0f} GB/s of {r['read_bandwidth_gb_s']:.0f}: "
      f"{100 * d['bandwidth_fraction']:.1f} %; first token {1e3 * r['time_to_first_token_s']:.1f} ms; "
      f"device peak {r['device_peak_memory_bytes'] / r['weights_bytes']:.3f} of the weights")
P
done
step "prefill 512, decode 128 (bench)"
"$hearth" bench --device cuda --model "$phi" --random-weights --dtype f16 -p 512 -n 128 -r 5 --json |
  tee "$logs/bench.json" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print("prefill", round(r["prefill"]["tokens_per_s"]["median"]), "tokens/s; decode",
      round(r["decode"]["tokens_per_s"]["median"], 1), "fraction", r["decode"]["bandwidth_fraction"])'
step "decode at a context of 1,800 to 2,000"
"$hearth" generate --device cuda --model "$phi" --random-weights --dtype f16 \
  --ids "$(seq -s, 1 1800)" --max-tokens 200 --ignore-eos --stats 2>&1 | tail -3 | grep -o '[0-9]* tokens, .*\|decode .*' || true
step "decode of 32 sequences at once, context 10 to 74"
"$hearth" lab run --model "$phi" --random-weights --dtype f16 --engines hearth:cuda --job batch \
  --batch 32 --prompt-tokens 10 --tokens 64 --seconds 3 --no-limits --overwrite -o "$logs/batch.json" || true
step "elementwise operations, reductions, a joined chain: 256 M elements"
HEARTH_DEVICE=cuda "$root/bin/bench_elementwise" --elements 268435456 --rounds 5 |
  tee "$logs/elementwise.txt"
step "process start to first token, a checkpoint in the page cache"
checkpoint=$(mktemp -d)
"$hearth" init --config "$phi" --random-weights --dtype f16 -o "$checkpoint" >/dev/null
cat "$checkpoint"/* >/dev/null
for i in 1 2 3; do
  start=$(date +%s.%N)
  "$hearth" generate --device cuda --model "$checkpoint" --ids $ten --max-tokens 1 --ignore-eos 2>&1 |
    while IFS= read -r -n 1 _; do
      python3 -c "print('first byte after %.2f s' % ($(date +%s.%N) - $start))"
      break
    done
done
rm -rf "$checkpoint"
step "peers"
python3 "$root/tools/gpu_peers.py" --config "$phi" || true
