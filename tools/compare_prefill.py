#!/usr/bin/env python3
"""The whole prefill of 512 tokens of Phi-2's shape against its matrix products alone, in one run.

Usage: compare_prefill.py BUILD_FOLDER f16|bf16|f32 [repetitions]
"""
import json
import re
import subprocess
import sys

build, dtype = sys.argv[1], sys.argv[2]
repetitions = sys.argv[3] if len(sys.argv) > 3 else "3"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def gflop_per_s(n, k):
    text = run(f"{build}/bench/bench_matmul", "prefill", dtype, "--rounds", "3", "--shape", f"{n},{k}")
    return float(re.findall(r"([\d.]+) GFLOP/s", text)[-1])  # the last line: all threads


# Each of 32 blocks: q, k, v and dense; fc1; fc2. The head sees the last token only.
shapes = [(4, 2560, 2560), (1, 10240, 2560), (1, 2560, 10240)]
alone = 32 * sum(count * 2e-9 * 512 * n * k / gflop_per_s(n, k) for count, n, k in shapes)
bench = run(f"{build}/hearth", "bench", "--model", "models/configs/phi-2", "--random-weights",
            "--dtype", dtype, "-p", "512", "-n", "0", "-r", repetitions, "--json")
rate = json.loads(bench)["prefill"]["tokens_per_s"]["median"]
print(f"{dtype}: {rate:.1f} tokens/s = {512 / rate:.2f} s, the products alone {alone:.2f} s, "
      f"ratio {alone * rate / 512:.3f}")
