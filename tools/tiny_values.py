"""The values of tiny checkpoints, which no file holds: for tools/tiny_models.py, tiny_mlx.py and tiny_packed.py."""
import numpy as np


def hashes(name, count, salt):
    """FNV-1a of the name, then splitmix64 of a counter: 64 bits each."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64((seed + salt) % 2**64)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return x ^ x >> np.uint64(31)


def values(name, count, center, scale, salt):
    """The formula of tests/llm/tiny_checkpoint.h."""
    x = hashes(name, count, salt)
    return (center + scale * ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1)).astype(np.float32)
