#!/usr/bin/env python3
"""Writes tests/data/mnist: made-up digits of seven segments in MNIST's format, moved about, for the
test of examples/mnist.cpp. Run from the root of the repository; needs nothing but Python."""
import gzip
import pathlib
import random

SEGMENTS = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"]
# Where the segments lie in a box of 12 x 18: left, top, width, height.
BOXES = {"a": (1, 0, 10, 2), "b": (10, 1, 2, 8), "c": (10, 9, 2, 8), "d": (1, 16, 10, 2),
         "e": (0, 9, 2, 8), "f": (0, 1, 2, 8), "g": (1, 8, 10, 2)}


def image(digit, rng):
    pixels = bytearray(28 * 28)
    dx, dy, ink = rng.randint(4, 12), rng.randint(2, 8), rng.randint(150, 255)
    for name in SEGMENTS[digit]:
        left, top, width, height = BOXES[name]
        for y in range(top + dy, top + dy + height):
            for x in range(left + dx, left + dx + width):
                pixels[y * 28 + x] = ink
    return bytes(pixels)


def number(n):
    return n.to_bytes(4, "big")


rng = random.Random(1)
folder = pathlib.Path("tests/data/mnist")
folder.mkdir(parents=True, exist_ok=True)
for name, count in (("train", 700), ("t10k", 100)):
    labels = [rng.randrange(10) for _ in range(count)]
    images = b"".join(image(digit, rng) for digit in labels)
    for kind, content in (("images-idx3", b"\0\0\x08\3" + number(count) + number(28) * 2 + images),
                          ("labels-idx1", b"\0\0\x08\1" + number(count) + bytes(labels))):
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, 9, mtime=0))
