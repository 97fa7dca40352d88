"""Compares `hearth tokenize` with Hugging Face's tokenizers on random tokenizers and random lines.

Usage: python tools/tokenizer_differential.py HEARTH [--count 200] [--seed 1] [--lines 60]
       python tools/tokenizer_differential.py HEARTH --file tokenizer.json [--lines 10000]
Prints each difference with what led to it; exit 1 if there is any.
"""

import argparse
import base64
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

import tokenizer_random


def hearth(program, folder, lines, *options):
    out = subprocess.run([program, "tokenize", "--model", folder, "--jsonl", *options], input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line], out.stderr


def compare(program, file, lines, name):
    theirs = Tokenizer.from_str(file)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer.json").write_text(file)
        wanted, kept = [], []
        for line in lines:
            try:
                wanted.append(theirs.encode(line).ids)
                kept.append(line)
            except BaseException:  # also a panic
                pass
        got, error = hearth(program, folder, [{"text": line} for line in kept])
        differences = []
        if len(got) != len(kept):
            differences.append(("encode stops", error.strip()))
        for line, want, have in zip(kept, wanted, got):
            if have["ids"] != want:
                differences.append(("encode", line, want, have["ids"]))
        decoded, ids = [], []
        for want in wanted:
            if want:
                try:
                    decoded.append(theirs.decode(want, skip_special_tokens=False))
                    ids.append(want)
                except BaseException:
                    pass
        got, error = hearth(program, folder, [{"ids": each} for each in ids], "--decode")
        if len(got) != len(ids):
            differences.append(("decode stops", error.strip()))
        for want, text, have in zip(ids, decoded, got):
            if have["text"] != text:
                differences.append(("decode", [theirs.id_to_token(i) for i in want], text, have["text"]))
    if differences:
        parts = json.loads(file)
        print("==", name, "model", {k: v for k, v in parts["model"].items() if k not in ("vocab", "merges")})
        for key in ("added_tokens", "normalizer", "pre_tokenizer", "decoder"):
            print("  ", key, json.dumps(parts[key])[:600])
        for difference in differences[:2]:
            print("  ", *(ascii(part)[:300] for part in difference), sep="\n     ")
        print("   in all", len(differences))
    return len(differences)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("hearth")
    options.add_argument("--file")
    options.add_argument("--charsmap", help="a tokenizer.json with a Precompiled normalizer")
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--lines", type=int, default=60)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    rng = random.Random(options.seed)
    if options.file:
        sys.exit(compare(options.hearth, Path(options.file).read_text(), tokenizer_random.texts(rng, options.lines), options.file) > 0)
    made = tokenizer_random.trained()
    charsmap = options.charsmap and base64.b64encode(Path(options.charsmap).read_bytes()).decode()
    tried = bad = 0
    while tried < options.count:
        file = tokenizer_random.random_tokenizer(rng, made, charsmap)
        if file is None:
            continue
        tried += 1
        bad += compare(options.hearth, file, tokenizer_random.texts(rng, options.lines), f"{options.seed}:{tried}") > 0
    print(f"{bad} of {tried} tokenizers differ")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
