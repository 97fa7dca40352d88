#!/usr/bin/env python3
"""What intervals make of noise: how often an engine against itself is called different in 12 pairs, and how
often a true 3 % is found. usage: tools/lab_statistics.py [noise.npz that tools/lab_noise.py recorded]
Without a file the noise is simulated: the table of docs/lab.md."""
import sys

import numpy as np

PAIRS, RUNS, RESAMPLES = 12, 4000, 1000
T11 = 2.200985160  # Student's t of 11 degrees stays below with 97.5 %
FLIPS = np.array([[1 if n >> i & 1 else -1 for i in range(PAIRS)] for n in range(1 << (PAIRS - 1))])


def student(d, _):
    return np.abs(d.mean(1)) > T11 * d.std(1, ddof=1) / PAIRS**0.5


def sign_flip(d, _):
    return (np.abs(d @ FLIPS.T) >= np.abs(d.sum(1))[:, None] * (1 - 1e-9)).mean(1) <= 0.05


def median(d, _):  # the interval from the third to the tenth, by the binomial's quantiles
    s = np.sort(d, 1)
    return (s[:, 2] > 0) | (s[:, 9] < 0)


def blocks(d, chance, length=3):
    begins = chance.integers(0, PAIRS, (RESAMPLES, PAIRS // length))
    which = ((begins[:, :, None] + np.arange(length)) % PAIRS).reshape(RESAMPLES, -1)
    low, high = np.percentile(d[:400][:, which].mean(2), [2.5, 97.5], axis=1)
    return (low > 0) | (high < 0)


def simulated(kind, chance):
    """Log ratios of RUNS runs: who begins a pair is chance, and turned round in every second one."""
    n, executions = RUNS, 2 * PAIRS
    x = 0.01 * chance.standard_normal((n, executions))
    if kind == "heavy tails":
        x += 0.02 * np.abs(chance.standard_t(1.2, x.shape)).clip(0, 50)
    if kind == "bursts":
        phase = chance.integers(0, 18, n)
        for i in range(executions):
            x[:, i] += ((i + phase) % 18 < 5) * (0.4 + 0.2 * chance.standard_normal(n))
    if kind == "slow waves":
        wave = 0.05 * chance.standard_normal(n) / (1 - 0.9**2) ** 0.5
        for i in range(executions):
            x[:, i] += wave
            wave = 0.9 * wave + 0.05 * chance.standard_normal(n)
    if kind == "rare and long":
        x += (chance.random(x.shape) < 0.04) * chance.exponential(1.0, x.shape)
    if kind == "one step":
        x += 0.3 * (np.arange(executions) >= chance.integers(0, executions, n)[:, None])
    if kind == "warming":
        x += np.linspace(0, 0.3, executions)
    first = np.repeat(chance.integers(0, 2, (n, PAIRS // 2)), 2, axis=1)
    first[:, 1::2] ^= 1
    pairs = x.reshape(n, PAIRS, 2)
    later = pairs[:, :, 1] - pairs[:, :, 0]
    return np.where(first == 0, later, -later)


def main():
    chance = np.random.default_rng(1)
    if len(sys.argv) > 1:
        data = np.load(sys.argv[1])
        kinds = {}
        for key in data.files:
            if key.startswith("total_"):
                logs = np.log(data[key][:, 1].astype(float) / data[key][:, 0])
                kinds[key[6:]] = logs[: len(logs) // PAIRS * PAIRS].reshape(-1, PAIRS)
    else:
        names = ["normal", "heavy tails", "bursts", "slow waves", "rare and long", "one step", "warming"]
        kinds = {kind: simulated(kind, chance) for kind in names}
    methods = {"t": student, "sign-flip": sign_flip, "median": median, "blocks": blocks}
    print("| noise | runs | scatter | " + " | ".join(f"{name}: false, found" for name in methods) + " |")
    for kind, logs in kinds.items():
        cells = []
        for method in methods.values():
            false, found = method(logs, chance).mean(), method(logs + np.log(1.03), chance).mean()
            cells.append(f"{100 * false:.1f}, {100 * found:.0f}")
        print(f"| {kind} | {len(logs)} | {logs.std():.3f} | " + " | ".join(cells) + " |", flush=True)


main()
