#!/usr/bin/env python3
"""Holds the times of `hearth lab run --command` against hyperfine's (Debian's hyperfine), in the same run.

Each program measures the same commands, in turns (hyperfine, hearth, hearth, hyperfine, ...), and writes hyperfine's JSON.
The unit is a run of the program: the interval (95 %, Student's t) of the mean of the log ratio of both programs' mean times holds
0 where they agree. Run it on a quiet machine.

Usage: compare_hyperfine.py path/to/hearth [rounds, an even number]
"""
import json
import math
import statistics
import subprocess
import sys
import tempfile

COMMANDS = ["sleep 0.02", "gzip -kc /usr/bin/python3", "find /usr/share/doc -name '*.gz'", "sha256sum /usr/bin/python3"]
RUNS = 10
T95 = {3: 3.182, 5: 2.571, 7: 2.365, 9: 2.262, 11: 2.201, 13: 2.160, 15: 2.131, 17: 2.110, 19: 2.093}


def means(arguments, path):
    subprocess.run([*arguments, "--runs", str(RUNS), "--warmup", "1", "--export-json", path], capture_output=True, check=True)
    with open(path) as file:
        return [result["mean"] for result in json.load(file)["results"]]


def main():
    hearth, rounds = sys.argv[1], int((sys.argv[2:] or ["10"])[0])
    shell = ["--shell", "sh"]
    each = {"hyperfine": ["hyperfine", *shell, *COMMANDS],
            "hearth": [hearth, "lab", "run", *shell, *(word for c in COMMANDS for word in ("--command", c))]}
    times = {name: [] for name in each}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(rounds):
            for name in list(each)[::1 if i % 2 == 0 else -1]:
                extra = ["-o", f"{folder}/{i}.json"] if name == "hearth" else []
                times[name].append(means(each[name] + extra, f"{folder}/times.json"))
    for k, command in enumerate(COMMANDS):
        ours, theirs = ([run[k] for run in times[name]] for name in ("hearth", "hyperfine"))
        logs = [math.log(a / b) for a, b in zip(ours, theirs)]
        middle, half = statistics.mean(logs), T95[rounds - 1] * statistics.stdev(logs) / math.sqrt(rounds)
        print(f"{command:32}  hyperfine {1e3 * statistics.mean(theirs):8.3f} ms  hearth {1e3 * statistics.mean(ours):8.3f} ms  "
              f"ratio {math.exp(middle):.4f} ({math.exp(middle - half):.4f} to {math.exp(middle + half):.4f})  "
              f"{'agree' if abs(middle) <= half else 'DIFFER'}")


main()
