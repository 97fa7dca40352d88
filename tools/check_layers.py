#!/usr/bin/env python3
"""Imports point down: a file includes its own layer, or room, and those below. Where rooms are listed,
every .cpp has a header of its own name. Prints each that does not."""
import pathlib
import re
import sys

LAYERS = ["base", "core", "ops", "backend", "transforms", "nn", "io", "llm", "lab", "server", "cli"]
ROOMS = {"lab": ["measure", "result", "telemetry", "judge", "engines", "run", "show"]}
BACKENDS = ["cpu", "cuda"]  # know what is of all, hearth/backend/*, and nothing of each other
SHARED_HEADERS = {"hearth/lab/telemetry": "sources.h"}  # for files of one function each

root = pathlib.Path(__file__).resolve().parent.parent
bad = 0


def complain(*words):
    global bad
    print(*words)
    bad += 1


def check_order(path, number, order, mine, other):
    if other not in order:
        complain(f"{path}:{number}: {other} is not one of {', '.join(order)}")
    elif order.index(other) > order.index(mine):
        complain(f"{path}:{number}: {mine} includes {other}, which is above it")


for file in sorted((root / "hearth").rglob("*")):
    if file.suffix not in {".h", ".cpp", ".cu", ".cuh", ".inc"}:
        continue
    path = file.relative_to(root)
    if len(path.parts) == 2:  # hearth.h, which has it all
        continue
    layer, room = path.parts[1], path.parts[2]
    rooms = ROOMS.get(layer, [])
    if rooms and room not in rooms:
        complain(f"{path}: not in one of the rooms {', '.join(rooms)}")
        continue
    text = file.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*"hearth/([a-z_]+)/(?:([a-z_]+)/)?', line)
        if not match:
            continue
        check_order(path, number, LAYERS, layer, match[1])
        if layer == "backend" and room in BACKENDS and match[2] in BACKENDS and match[2] != room:
            complain(f"{path}:{number}: backend/{room} includes backend/{match[2]}")
        if rooms and match[1] == layer:
            check_order(path, number, rooms, room, match[2])
    if rooms and path.suffix == ".cpp":
        shared = SHARED_HEADERS.get(str(path.parent), "")
        if not file.with_suffix(".h").exists() and f'"{path.parent}/{shared}"' not in text:
            complain(f"{path}: has no header of its own")
sys.exit(bad > 0)
