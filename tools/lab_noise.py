#!/usr/bin/env python3
"""Records what this machine does to an engine against itself, quiet and beside loads, as data for tests.

usage: tools/lab_noise.py build/release/hearth OUT.npz [--seconds 240] [--only quiet,loops,...] [--tokens 8]

Each kind is one `hearth lab run` of tiny-phi against itself, a process of each engine for every pair, that
is stopped after --seconds. OUT.npz gets of each kind total_KIND (pairs, 2): the mean time of an execution
that counts, in seconds; others_KIND (pairs, 2): the share of the processors that others took meanwhile, or
of the time in which a quota stopped it; and first_KIND (pairs): 0 or 1, who had the first turn. What is in OUT.npz of other kinds stays.

Of the kind stop, a quota of the run's cgroup leaves it half a processor less than there are, where a cgroup
can be made (version 2, else 1); elsewhere something of a higher right takes half of one. It prints which."""
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
# What stops a core where no quota can: for 50 ms of every 100 something of a higher right has it.
HIGHER_RIGHT = """
import os, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while True:
    end = time.time() + 0.05
    while time.time() < end: pass
    time.sleep(0.05)
"""
KINDS = {"quiet": [], "loops": [LOOP, LOOP], "compilation": [COMPILATION], "bursts": [BURSTS], "hog": [HOG],
         "stop": [HIGHER_RIGHT]}
PERIOD_US = 100_000


def quota():
    """A cgroup whose quota is half a processor less than there are, and its version; None where none can be made."""
    most = int((len(os.sched_getaffinity(0)) - 0.5) * PERIOD_US)
    for version, parent, files in [(2, "/sys/fs/cgroup", {"cpu.max": f"{most} {PERIOD_US}"}),
                                   (1, "/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": most})]:
        if version == 2 and not os.path.exists(os.path.join(parent, "cgroup.controllers")):
            continue
        group = os.path.join(parent, f"lab_noise_{os.getpid()}")
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            if version == 2:
                with open(os.path.join(parent, "cgroup.subtree_control"), "w") as file:
                    file.write("+cpu")
            for name, value in files.items():
                with open(os.path.join(group, name), "r+") as file:
                    file.write(str(value))
            return group, version
        except OSError:
            os.rmdir(group)
    return None


def record(hearth, kind, seconds, tokens):
    group = quota() if kind == "stop" else None
    loads = [] if group else KINDS[kind]
    if kind == "stop":
        print(f"stop: by a quota of a cgroup, version {group[1]}" if group else
              "stop: by a process of a higher right: no cgroup with a quota can be made here", flush=True)

    def enter():  # the run, and all that it starts
        if group:
            with open(os.path.join(group[0], "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))

    beside = [subprocess.Popen([sys.executable, "-c", load], start_new_session=True, stderr=subprocess.DEVNULL)
              for load in loads]
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "r.json")
            run = subprocess.Popen([hearth, "lab", "run", "--engines", "hearth:cpu,hearth:cpu", "--pairs", "10000",
                                    "--starts", "10000", "--seconds", "0", "--warmup", "2", "--tokens", str(tokens),
                                    "--telemetry", "off", "--no-limits", "-o", out],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=enter)
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
        if group:
            for _ in range(100):
                try:
                    os.rmdir(group[0])
                    break
                except OSError:  # its engines are ending
                    time.sleep(0.1)


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
        others.append([max(sum((r["disturbance"]["others_s"] or 0) + (r["disturbance"]["stolen_s"] or 0) for r in reps) /
                           sum(r["total_s"] * r["disturbance"]["processors"] for r in reps),
                           sum(r["disturbance"]["throttled_s"] or 0 for r in reps) / sum(r["total_s"] for r in reps))
                       for reps in pair])
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
        total, others, first = pairs_of(record(os.path.abspath(options.hearth), kind, options.seconds,
                                               options.tokens))
        logs = np.log(total[:, 1] / total[:, 0])
        later = np.where(first == 0, logs, -logs)  # the second of a pair against the first
        print(f"{kind}: {len(total)} pairs of {np.median(total) * 1e3:.1f} ms; log ratios scatter by {logs.std():.3f}, "
              f"mean {logs.mean():+.4f}; the second of a pair takes {later.mean():+.4f} +- "
              f"{later.std() / len(later) ** 0.5:.4f}; others took {others.mean():.2f}", flush=True)
        arrays |= {f"total_{kind}": total, f"others_{kind}": others, f"first_{kind}": first}
        np.savez_compressed(options.out, **arrays)


if __name__ == "__main__":
    main()
