#!/usr/bin/env python3
"""What each file of a build cost, from ninja's log: seconds on the clock, the dearest first.

    tools/build_cost.py [BUILD_FOLDER] [-n ROWS]        (build/release, 30)

Build from nothing before, with CCACHE_DISABLE=1, and let nothing else run beside."""
import argparse
import collections
import pathlib
import re

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("folder", nargs="?", default="build/release")
parser.add_argument("-n", type=int, default=30, help="files to show")
options = parser.parse_args()

cost = {}
for line in (pathlib.Path(options.folder) / ".ninja_log").read_text().splitlines()[1:]:
    start, end, _, output, *_ = line.split("\t")
    cost[output] = (int(end) - int(start)) / 1000


def room(output):
    """libhearth.dir/hearth/ops/map.cpp.o -> hearth/ops"""
    inside = re.search(r"\.dir/(.*)/[^/]*$", output)
    return f"{output.split('.dir/')[0].split('/')[-1]}: {inside[1] if inside else '.'}"


rooms = collections.Counter()
for output, seconds in cost.items():
    rooms[room(output)] += seconds
print(f"{sum(cost.values()):8.1f}  all of {len(cost)} outputs\n")
for name, seconds in rooms.most_common(options.n):
    print(f"{seconds:8.1f}  {name}")
print()
for output, seconds in sorted(cost.items(), key=lambda row: -row[1])[: options.n]:
    print(f"{seconds:8.1f}  {output}")
