#!/usr/bin/env python3
"""Compares an engine with itself, again and again, on a quiet machine and beside loads: how often is it called
different, and the times as data for tests.

usage: tools/lab_noise.py build/release/hearth OUT.npz [--runs 200] [--only quiet,loops,...] [--places 1]

Each run is a `hearth lab run` of tiny-phi against itself: 12 pairs of 0.1 s, a process of each engine for every pair.
With --places N, as many go at once, each with two processors of its own (and its own load beside it, on them).
OUT.npz gets of each kind, of all pairs, also those that the lab did not count: total_KIND (pairs, 2), the mean time of
an execution that counts, in seconds; others_KIND (pairs, 2), the share of the processors that others took meanwhile,
or of the time in which a quota stopped it; first_KIND (pairs), 0 or 1, who had the first turn; run_KIND (pairs), of
which run it is; and of all runs ratio_KIND and verdict_KIND, an index of VERDICTS. What is in OUT.npz of other kinds
stays.

Of the kind stop, a quota of the run's cgroup leaves it half a processor less than there are, where a cgroup
can be made (version 2, else 1); elsewhere something of a higher right takes half of one. It prints which."""
import argparse
import concurrent.futures
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

LOOP = "while True: pass"
BURSTS = """
import os, time
for _ in range(len(os.sched_getaffinity(0)) - 1):
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
VERDICTS = ["undecided", "undecided: the machine was busy", "equivalent", "faster", "slower"]
PERIOD_US = 100_000


def quota(processors):
    """A cgroup whose quota is half a processor less than these, and its version; None where none can be made."""
    most = int((len(processors) - 0.5) * PERIOD_US)
    for version, parent, files in [(2, "/sys/fs/cgroup", {"cpu.max": f"{most} {PERIOD_US}"}),
                                   (1, "/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": most})]:
        if version == 2 and not os.path.exists(os.path.join(parent, "cgroup.controllers")):
            continue
        group = os.path.join(parent, f"lab_noise_{os.getpid()}_{min(processors)}")
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


class Place:
    """Some processors, and what runs beside the lab there."""

    def __init__(self, kind, processors):
        self.processors = processors
        self.group = quota(processors) if kind == "stop" else None
        self.loads = [subprocess.Popen([sys.executable, "-c", load], start_new_session=True, stderr=subprocess.DEVNULL,
                                       preexec_fn=self.enter_processors)
                      for load in ([] if self.group else KINDS[kind])]

    def enter_processors(self):
        os.sched_setaffinity(0, self.processors)

    def enter(self):  # the run, and all that it starts
        self.enter_processors()
        if self.group:
            with open(os.path.join(self.group[0], "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))

    def run(self, hearth):
        """The result of one comparison, and what `compare` says of it."""
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "r.json")
            subprocess.run([hearth, "lab", "run", "--engines", "hearth:cpu,hearth:cpu", "--pairs", "12", "--seconds",
                            "0.1", "--tokens", "16", "--telemetry", "off", "--no-limits", "-o", out],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=self.enter, check=True)
            if any(load.poll() is not None for load in self.loads):
                sys.exit("lab_noise: a load ended by itself")
            said = subprocess.run([hearth, "lab", "compare", out, "--json"], capture_output=True, check=True)
            with open(out) as file:
                return json.load(file), json.loads(said.stdout)[0]

    def end(self):
        for load in self.loads:
            os.killpg(load.pid, signal.SIGKILL)
            load.wait()
        for _ in range(100 if self.group else 0):
            try:
                os.rmdir(self.group[0])
                break
            except OSError:  # its engines are ending
                time.sleep(0.1)


def record(hearth, kind, runs, places):
    """`runs` comparisons, each with a place of its own."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2 * places:
        sys.exit(f"lab_noise: {places} places need {2 * places} processors, there are {len(processors)}")
    share = [set(processors[2 * i:2 * i + 2]) for i in range(places)] if places > 1 else [set(processors)]
    free = queue.Queue()
    all_places = []
    try:
        for one in share:
            all_places.append(Place(kind, one))
            free.put(all_places[-1])
        if kind == "stop":
            group = all_places[0].group
            print(f"stop: by a quota of a cgroup, version {group[1]}" if group else
                  "stop: by a process of a higher right: no cgroup with a quota can be made here", flush=True)

        def one_run(_):
            place = free.get()
            try:
                return place.run(hearth)
            finally:
                free.put(place)

        with concurrent.futures.ThreadPoolExecutor(places) as pool:
            return list(pool.map(one_run, range(runs)))
    finally:
        for place in all_places:
            place.end()


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
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--only", default=",".join(KINDS))
    options = parser.parse_args()
    arrays = dict(np.load(options.out)) if os.path.exists(options.out) else {}
    for kind in options.only.split(","):
        begin = time.time()
        done = record(os.path.abspath(options.hearth), kind, options.runs, options.places)
        pairs = [pairs_of(result) for result, _ in done]
        total, others, first = (np.concatenate(part) for part in zip(*pairs))
        ratio = np.array([said["ratio"] for _, said in done])
        verdict = np.array([VERDICTS.index(said["verdict"]) for _, said in done])
        log = np.log(ratio)
        half = 2.576 * log.std(ddof=1) / len(log) ** 0.5 if len(log) > 1 else np.inf
        later = np.log(total[:, 1] / total[:, 0]) * np.where(first == 0, 1, -1)  # the second of a pair against the first
        print(f"{kind}: {len(done)} runs in {time.time() - begin:.0f} s, {options.places} at once; called different "
              f"{np.sum(verdict >= 3)}, equivalent {np.sum(verdict == 2)}, busy {np.sum(verdict == 1)}, undecided "
              f"{np.sum(verdict == 0)}; mean log ratio {log.mean():+.4f} +- {half:.4f} (99 %), scatter {log.std():.3f}, "
              f"the second ahead in {np.sum(log < 0)}; {len(total)} pairs of {np.median(total) * 1e3:.1f} ms, the second "
              f"of a pair takes {later.mean():+.4f} +- {later.std() / len(later) ** 0.5:.4f}; others took "
              f"{others.mean():.2f}", flush=True)
        arrays |= {f"total_{kind}": total, f"others_{kind}": others, f"first_{kind}": first,
                   f"run_{kind}": np.repeat(np.uint16(range(len(pairs))), [len(p[2]) for p in pairs]),
                   f"ratio_{kind}": np.float32(ratio), f"verdict_{kind}": np.uint8(verdict)}
        np.savez_compressed(options.out, **arrays)


if __name__ == "__main__":
    main()
