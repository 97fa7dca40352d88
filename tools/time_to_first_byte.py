#!/usr/bin/env python3
"""Milliseconds from the start of a process to the first byte that it prints.

Usage: time_to_first_byte.py ROUNDS COMMAND...
"""
import os
import statistics
import subprocess
import sys
import time

rounds, command = int(sys.argv[1]), sys.argv[2:]
took = []
for _ in range(rounds):
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if not os.read(process.stdout.fileno(), 1):
            sys.exit(f"{command[0]} printed nothing")
        took.append((time.perf_counter() - start) * 1e3)
        process.stdout.read()
quarters = statistics.quantiles(took, n=4)
print(f"first byte after {statistics.median(took):.1f} ms "
      f"({quarters[0]:.1f} to {quarters[2]:.1f}, the middle half of {rounds})")
