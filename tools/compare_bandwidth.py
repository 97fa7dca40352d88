#!/usr/bin/env python3
"""Holds hearth probe's read bandwidth against likwid-bench (Debian's likwid), in the same run.

Short measurements over as much memory in the same kind of pages, in the order L H H L (L H H L ...):
not L H L H, since the system hands the pages of the process that ended to the next but one, so that
each program would keep pages of its own, which differ by 12 % in how they lie. A round of four counts
when neither program changed by more than 15 % within it: the machine's bandwidth flips. Its ratio is
that of the two sums. Beside it stands the same figure of each program against itself.
"plain" pages are those of probe's read_bandwidth_gb_s; with huge ones no luck of pages is left.

Usage: compare_bandwidth.py path/to/bench_read_bandwidth [rounds [threads [plain|huge]]]
"""
import os
import re
import statistics
import subprocess
import sys

MEGABYTES, SECONDS = 512, 0.3


def likwid(threads, pages):
    # glibc's tunable makes malloc ask for huge pages, which likwid-bench itself does not.
    env = dict(os.environ, GLIBC_TUNABLES=f"glibc.malloc.hugetlb={int(pages == 'huge')}")
    command = ["likwid-bench", "-t", "load_avx512", "-w", f"S0:{MEGABYTES}MB:{threads}",
               "-i", str(16 * threads)]
    text = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"MByte/s:\s+(\S+)", text)[1]) / 1e3


def hearth(threads, pages):
    command = [sys.argv[1], str(threads), pages, str(SECONDS), str(MEGABYTES)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def ratio(rounds):
    """Of inner to outer sums, over the rounds of four in which neither pair moved."""
    steady = [(b + c) / (a + d) for a, b, c, d in rounds
              if max(a, d) < 1.15 * min(a, d) and max(b, c) < 1.15 * min(b, c)]
    if len(steady) < 3:
        return f"unknown, {len(steady)} of {len(rounds)} rounds steady"
    low, median, high = statistics.quantiles(steady, n=4)
    return (f"{median:.3f} (middle half {low:.3f} to {high:.3f}), "
            f"{len(steady)} of {len(rounds)} rounds steady")


def compare(threads, pages, rounds):
    turns = [[program(threads, pages) for program in (likwid, hearth, hearth, likwid)]
             for _ in range(rounds)]
    own = {"likwid-bench": [x for a, _, _, d in turns for x in (a, d)],
           "hearth": [x for _, b, c, _ in turns for x in (b, c)]}
    medians = ", ".join(f"{name} {statistics.median(own[name]):.1f} GB/s" for name in own)
    print(f"{threads} threads, {pages} pages: {medians}")
    print(f"  hearth to likwid-bench: {ratio(turns)}")
    for name, values in own.items():
        print(f"  {name} to itself: {ratio([values[i:i + 4] for i in range(0, len(values) - 3, 4)])}",
              flush=True)


rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 12
for threads in [int(sys.argv[3])] if len(sys.argv) > 3 else (1, os.cpu_count()):
    for pages in sys.argv[4:5] or ("plain", "huge"):
        compare(threads, pages, rounds)
