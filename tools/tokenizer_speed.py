"""MB/s of encoding lines of stories, on one thread: hearth and Hugging Face's tokenizers in turns.

Usage: python tools/tokenizer_speed.py BENCH_TOKENIZER FOLDER...   (folders with a tokenizer.json)
Prints for each the median of 3 rounds and the ratio. BENCH_TOKENIZER is build/bench/bench_tokenizer
of a release build with HEARTH_BENCH; each FOLDER must be one that it knows.
"""

import json
import lzma
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

SHARED = Path(os.environ.get("HEARTH_SHARED", Path(__file__).resolve().parent.parent / "../shared"))


def hearth(program, name):
    out = subprocess.run([program, f"--benchmark_filter=^encode_lines {name}$", "--benchmark_min_time=0.5", "--benchmark_format=json"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["benchmarks"][0]["bytes_per_second"] / 1e6


def theirs(tokenizer, lines):
    start = time.perf_counter()
    for line in lines:
        tokenizer.encode(line)
    return sum(len(line.encode()) for line in lines) / (time.perf_counter() - start) / 1e6


def main():
    program, *folders = sys.argv[1:]
    with lzma.open(SHARED / "data/stories.txt.xz", "rt") as file:
        lines = file.read(2_000_000).splitlines(keepends=True)
    for folder in map(Path, folders):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        rounds = [(hearth(program, folder.name), theirs(tokenizer, lines)) for _ in range(3)]
        ours, other = (statistics.median(column) for column in zip(*rounds))
        print(f"{folder.name}: hearth {ours:.1f}, tokenizers {other:.2f} MB/s, {ours / other:.1f} times")


main()
