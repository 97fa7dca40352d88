#!/usr/bin/env python3
"""Holds hearth's read bandwidth against likwid-bench (Debian's likwid), in the same run.

Each measurement stands between two runs of likwid-bench. Those whose two differ by more than 10 %
are left out, since the machine changed its state; the verdict is the median of the others' ratios.
"plain" is probe's read_bandwidth_gb_s, "best" its read_bandwidth_best_gb_s (with huge pages for
likwid-bench too).
Usage: compare_bandwidth.py path/to/bench_read_bandwidth [rounds]
"""
import os
import re
import statistics
import subprocess
import sys

bench, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5


def likwid(threads, kind):
    # glibc's tunable makes malloc ask for huge pages, which likwid-bench itself does not.
    env = dict(os.environ, GLIBC_TUNABLES=f"glibc.malloc.hugetlb={int(kind == 'best')}")
    command = ["likwid-bench", "-t", "load_avx512", "-w", f"S0:1GB:{threads}", "-i", f"{8 * threads}"]
    text = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"MByte/s:\s+(\S+)", text)[1]) / 1e3


def hearth(threads, kind):
    command = [bench, str(threads)] + ["best"] * (kind == "best")
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


for threads in (1, os.cpu_count()):
    for kind in ("plain", "best"):
        triples, before = [], likwid(threads, kind)
        for _ in range(rounds):
            ours, after = hearth(threads, kind), likwid(threads, kind)
            triples.append((before, ours, after))
            before = after
        steady = [t for t in triples if abs(t[0] / t[2] - 1) < 0.1]
        ratio = [ours / ((before + after) / 2) for before, ours, after in steady]
        print(f"{threads} threads, {kind}: "
              f"hearth {statistics.median(t[1] for t in triples):.1f} GB/s, "
              f"likwid-bench {statistics.median(t[2] for t in triples):.1f} GB/s, ratio "
              + (f"{statistics.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})"
                 if ratio else "unknown") + f", {len(steady)} of {rounds} rounds steady", flush=True)
