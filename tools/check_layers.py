#!/usr/bin/env python3
"""Imports point down: a file includes its own layer and those below. Prints each one that does not."""
import pathlib
import re
import sys

LAYERS = ["base", "core", "ops", "backend", "transforms", "nn", "io", "llm", "lab", "server", "cli"]
# Backends know what is of all, hearth/backend/*, and nothing of each other.
BACKENDS = ["cpu", "cuda"]
root = pathlib.Path(__file__).resolve().parent.parent
bad = 0
for path in sorted((root / "hearth").rglob("*")):
    if path.suffix not in {".h", ".cpp", ".cu", ".cuh", ".inc"}:
        continue
    layer = path.relative_to(root / "hearth").parts[0]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        other = re.match(r'\s*#\s*include\s*"hearth/backend/([a-z_]+)/', line)
        parts = path.relative_to(root / "hearth").parts
        if other and len(parts) > 2 and parts[:1] == ("backend",) and other[1] in BACKENDS and other[1] != parts[1]:
            print(f"{path.relative_to(root)}:{number}: backend/{parts[1]} includes backend/{other[1]}")
            bad += 1
        match = re.match(r'\s*#\s*include\s*"hearth/([a-z_]+)/', line)
        if not match:
            continue
        if match[1] not in LAYERS:
            print(f"{path.relative_to(root)}:{number}: {match[1]} is not a layer")
            bad += 1
        elif LAYERS.index(match[1]) > LAYERS.index(layer):
            print(f"{path.relative_to(root)}:{number}: {layer} includes {match[1]}, which is above it")
            bad += 1
sys.exit(bad > 0)
