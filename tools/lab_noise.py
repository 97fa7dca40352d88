#!/usr/bin/env python3
"""Records what this machine does to an engine against itself, quiet and beside loads, as data for tests.

usage: tools/lab_noise.py build/release/hearth OUT.npz [--seconds 240] [--only quiet,loops,...] [--tokens 8]

Each kind is one `hearth lab run` of tiny-phi against itself, a process of each engine for every pair, that
is stopped after --seconds. OUT.npz gets of each kind total_KIND (pairs, 2): the mean time of an execution
that counts, in seconds; others_KIND (pairs, 2): the share of the processors that others took meanwhile; and
first_KIND (pairs): 0 or 1, who had the first turn. What is in OUT.npz of other kinds stays."""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

LOOP = "while True: pass"
BURSTS = """
import os, time
for _ in range((os.cpu_count() or 2) - 1):
    if os.fork() == 0: break
while True:
    end = time.time() + 2
    while time.time() < end: pass
    time.sleep(5)
"""
COMPILATION = """
import subprocess
text = b'#include <regex>\\n#include <map>\\nint main() { std::regex r("a*b"); return std::regex_match("aab", r); }'
while True:
    subprocess.run(["c++", "-std=c++20", "-O2", "-x", "c++", "-", "-c", "-o", "/dev/null"], input=text)
"""
HOG = """
a = bytearray(256 << 20)
b = bytearray(256 << 20)
while True: a[:] = b
"""
# What stops a core as a quota does: for 50 ms of every 100 something of a higher right has it.
QUOTA = """
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while True:
    end = time.time() + 0.05
    while time.time() < end: pass
    time.sleep(0.05)
"""
KINDS = {"quiet": [], "loops": [LOOP, LOOP], "compilation": [COMPILATION], "bursts": [BURSTS], "hog": [HOG],
         "stop": [QUOTA]}


def record(hearth, loads, seconds, tokens):
    beside = [subprocess.Popen([sys.executable, "-c", load], start_new_session=True, stderr=subprocess.DEVNULL)
              for load in loads]
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "r.json")
            run = subprocess.Popen([hearth, "lab", "run", "--engines", "hearth:cpu,hearth:cpu", "--pairs", "10000",
                                    "--starts", "10000", "--seconds", "0", "--warmup", "2", "--tokens", str(tokens),
                                    "--telemetry", "off", "--no-limits", "-o", out],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            for load in beside:
                if load.poll() is not None:
                    sys.exit("lab_noise: a load ended by itself")
            run.send_signal(signal.SIGINT)
            run.wait()
            with open(out) as file:
                return json.load(file)
    finally:
        for load in beside:
            os.killpg(load.pid, signal.SIGKILL)
            load.wait()


def pairs_of(result):
    turns = [{}, {}]
    for turn, engine in zip(turns, result["engines"]):
        for r in engine["repetitions"]:
            if not (r["warmup"] or r["settling"] or r["streamed"]):
                turn.setdefault(r["round"], []).append(r)
    totals, others, first = [], [], []
    for n in sorted(set(turns[0]) & set(turns[1])):
        pair = [turn[n] for turn in turns]
        totals.append([np.mean([r["total_s"] for r in reps]) for reps in pair])
        others.append([sum((r["disturbance"]["others_s"] or 0) + (r["disturbance"]["stolen_s"] or 0) for r in reps) /
                       sum(r["total_s"] * r["disturbance"]["processors"] for r in reps) for reps in pair])
        first.append(0 if pair[0][0]["start_s"] < pair[1][0]["start_s"] else 1)
    return np.float32(totals), np.float32(others), np.uint8(first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hearth")
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--only", default=",".join(KINDS))
    options = parser.parse_args()
    arrays = dict(np.load(options.out)) if os.path.exists(options.out) else {}
    for kind in options.only.split(","):
        total, others, first = pairs_of(record(os.path.abspath(options.hearth), KINDS[kind], options.seconds,
                                               options.tokens))
        logs = np.log(total[:, 1] / total[:, 0])
        later = np.where(first == 0, logs, -logs)  # the second of a pair against the first
        print(f"{kind}: {len(total)} pairs of {np.median(total) * 1e3:.1f} ms; log ratios scatter by {logs.std():.3f}, "
              f"mean {logs.mean():+.4f}; the second of a pair takes {later.mean():+.4f} +- "
              f"{later.std() / len(later) ** 0.5:.4f}; others took {others.mean():.2f}", flush=True)
        arrays |= {f"total_{kind}": total, f"others_{kind}": others, f"first_{kind}": first}
        np.savez_compressed(options.out, **arrays)


main()
