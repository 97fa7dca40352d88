#!/usr/bin/env python3
"""What MLX draws from given keys, for tests/ops/random_test.cpp.

    pip install 'mlx[cpu]'                                                (0.32.4)
    python3 tools/goldens_random.py > tests/data/ops/random.json

Raw bits are MLX's split(key, n), which are the first 2 n words of the key's stream. Floats are
written as the integers of their bits.
"""
import json
import mlx.core as mx

TYPES = {"f32": (mx.float32, mx.uint32), "f16": (mx.float16, mx.uint16), "bf16": (mx.bfloat16, mx.uint16)}
cases = []


def add(fn, seed, out, **args):
    if out.dtype in (mx.float32, mx.float16, mx.bfloat16):
        out = mx.view(out, mx.uint32 if out.dtype == mx.float32 else mx.uint16)
    cases.append(dict(fn=fn, seed=seed, args=args, shape=list(out.shape), out=mx.flatten(out.astype(mx.int64)).tolist()))


for seed in [0, 7, (5 << 40) + 123456789]:
    key = mx.random.key(seed)
    for n in [1, 2, 3, 10, 37]:
        add("split", seed, mx.random.split(key, n), n=n)
    for name, (dtype, _) in TYPES.items():
        for n in [1, 2, 5, 31]:
            add("uniform", seed, mx.random.uniform(shape=(n,), dtype=dtype, key=key), low=0.0, high=1.0, dtype=name)
        add("uniform", seed, mx.random.uniform(-3.5, 12.25, shape=(4, 5), dtype=dtype, key=key), low=-3.5, high=12.25, dtype=name)
        add("normal", seed, mx.random.normal(shape=(40,), dtype=dtype, key=key), loc=0.0, scale=1.0, dtype=name)
        add("normal", seed, mx.random.normal(shape=(3, 5), loc=2.0, scale=3.0, dtype=dtype, key=key), loc=2.0, scale=3.0, dtype=name)
        add("gumbel", seed, mx.random.gumbel(shape=(25,), dtype=dtype, key=key), dtype=name)
        add("laplace", seed, mx.random.laplace(shape=(25,), loc=-1.0, scale=0.5, dtype=dtype, key=key), loc=-1.0, scale=0.5, dtype=name)
        add("truncated_normal", seed, mx.random.truncated_normal(-1.0, 2.0, shape=(25,), dtype=dtype, key=key), low=-1.0, high=2.0, dtype=name)
    for low, high, name in [(-5, 20, "i32"), (0, 2, "i8"), (100, 200, "u8"), (0, 1 << 30, "i64"), (0, 60000, "u16")]:
        dtype = dict(i32=mx.int32, i8=mx.int8, u8=mx.uint8, i64=mx.int64, u16=mx.uint16)[name]
        add("randint", seed, mx.random.randint(low, high, shape=(6, 5), dtype=dtype, key=key), low=low, high=high, dtype=name)
    add("bernoulli", seed, mx.random.bernoulli(0.3, shape=(40,), key=key), p=0.3)
    logits = mx.array([[0.1, 1.0, 2.0, -1.0], [3.0, 0.0, 0.5, 0.0]])
    add("categorical", seed, mx.random.categorical(logits, key=key), axis=-1)
    add("categorical", seed, mx.random.categorical(logits, axis=0, key=key), axis=0)
    add("categorical", seed, mx.random.categorical(logits, num_samples=16, key=key), axis=-1, samples=16)
    add("categorical", seed, mx.random.categorical(logits, shape=(7, 2), key=key), axis=-1, shape=[7, 2])
    add("permutation", seed, mx.random.permutation(50, key=key), n=50)
    add("permute", seed, mx.random.permutation(mx.arange(24).reshape(2, 12), axis=1, key=key), axis=1)
    means = [[1.0, -2.0, 0.5], [0.0, 10.0, 0.0]]
    for cov in [[[2.0, 0.5, 0.25], [0.5, 1.0, -0.5], [0.25, -0.5, 3.0]],
                [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],  # of rank 1
                [[1.0, 0.0, 0.0], [0.0, 1e-8, 0.0], [0.0, 0.0, 0.0]]]:
        out = mx.random.multivariate_normal(mx.array(means), mx.array(cov), shape=(4, 2), key=key, stream=mx.cpu)
        add("multivariate_normal", seed, out, mean=means, cov=cov)
    mx.random.seed(seed)
    add("sequence", seed, mx.concatenate([mx.random.uniform(shape=(3,)) for _ in range(4)]))

print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
