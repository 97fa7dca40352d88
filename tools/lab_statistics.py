#!/usr/bin/env python3
"""What intervals make of recorded noise (tools/lab_noise.py): how often an engine against itself is called
different, and how often a true 3 % is found. usage: tools/lab_statistics.py tests/lab/data/noise.npz"""
import sys

import numpy as np
from scipy import stats

STARTS, RESAMPLES = 12, 4000


def student(d):
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return abs(d.mean()) > half


FLIPS = np.array([[1 if n >> i & 1 else -1 for i in range(STARTS)] for n in range(1 << STARTS)])


def sign_flip(d):
    sums = np.abs(FLIPS @ d)
    return (sums >= abs(d.sum()) * (1 - 1e-9)).mean() <= 0.05


def bootstrap_of_blocks(d, chance, length=3):
    begins = chance.integers(0, len(d), (RESAMPLES, len(d) // length))
    means = d[(begins[:, :, None] + np.arange(length)) % len(d)].mean((1, 2))
    low, high = np.percentile(means, [2.5, 97.5])
    return low > 0 or high < 0


def median(d):
    # The interval of the median by the binomial's quantiles: of 12 the third and the tenth (96.1 %).
    s, k = np.sort(d), int(stats.binom.ppf(0.025, len(d), 0.5))
    return s[k - 1] > 0 or s[len(d) - k] < 0


def main():
    data, chance = np.load(sys.argv[1]), np.random.default_rng(1)
    methods = [("t", student), ("sign-flip", sign_flip), ("blocks", lambda d: bootstrap_of_blocks(d, chance)),
               ("median", median)]
    print(f"{'kind':12} {'runs':>4} {'spread':>7} | false at 5 % | 3 % found: " + ", ".join(name for name, _ in methods))
    for key in data.files:
        if not key.startswith("total_"):
            continue
        logs = np.log(data[key][:, 1].astype(float) / data[key][:, 0])
        runs = logs[: len(logs) // STARTS * STARTS].reshape(-1, STARTS)
        false = [100 * np.mean([f(d) for d in runs]) for _, f in methods]
        found = [100 * np.mean([f(d + np.log(1.03)) for d in runs]) for _, f in methods]
        print(f"{key[6:]:12} {len(runs):4} {logs.std():7.3f} | " + " ".join(f"{x:5.1f}" for x in false) + " | " +
              " ".join(f"{x:5.1f}" for x in found))


main()
