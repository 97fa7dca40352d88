#!/usr/bin/env python3
"""What MLX's quantized operations give: for tests/ops/quantize_test.cpp.

    pip install mlx[cpu]
    python3 tools/goldens_quantize.py        # writes tests/data/quantize.json

Arrays are their bytes, little-endian, in hexadecimal.
"""
import json
import pathlib

import mlx.core as mx
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/quantize.json"
mx.set_default_device(mx.cpu)


def raw(a):
    if a.dtype == mx.bfloat16:
        a = a.view(mx.uint16)
    return np.array(a).tobytes().hex()


def weights():
    """Rows with what is easy to get wrong: zeros, constants, tiny and huge values, one sign, ties."""
    rng = np.random.default_rng(14)
    w = rng.standard_normal((4, 128)).astype(np.float32)
    w[1, :32] = 0
    w[1, 32:64] = 3.0
    w[1, 64:96] *= 1e-9
    w[1, 96:] = np.abs(w[1, 96:])
    w[2] *= 20000
    w[2, ::17] *= 1e-4
    w[3] = np.arange(-64, 64) * 0.25
    w[3, 96:] = -np.abs(w[3, 96:])
    return w


def main():
    cases = []
    modes = [("affine", g, b) for b in (2, 3, 4, 5, 6, 8) for g in (32, 64, 128)]
    modes += [("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)]
    inputs = {name: mx.array(weights()).astype(getattr(mx, name)) for name in ("float32", "float16", "bfloat16")}
    rng = np.random.default_rng(15)
    x = mx.array(rng.standard_normal((3, 128)).astype(np.float32))
    left = mx.array(rng.standard_normal((2, 3, 5, 64)).astype(np.float32))
    experts = mx.array(rng.standard_normal((4, 32, 64)).astype(np.float32))
    for mode, group, bits in modes:
        for name, w in inputs.items():
            if name != "float32" and mode == "affine" and group != 64:
                continue
            planes = mx.quantize(w, group_size=group, bits=bits, mode=mode)
            cases.append(dict(mode=mode, group_size=group, bits=bits, dtype=name, planes=[raw(p) for p in planes]))
    products = []
    for mode, group, bits in [("affine", 64, 4), ("affine", 32, 3), ("mxfp4", 32, 4), ("nvfp4", 16, 4)]:
        how = dict(group_size=group, bits=bits, mode=mode)
        q = mx.quantize(inputs["float32"], **how)
        e = mx.quantize(experts, **how)
        ids, rows = mx.array([[3, 0, 1], [2, 2, 0]]), mx.array([[0, 5, 2], [4, 1, 3]])
        xs = mx.array(rng.standard_normal((2, 4)).astype(np.float32))
        products.append(dict(
            how, matmul=raw(mx.quantized_matmul(x, *q, transpose=True, **how)),
            plain=raw(mx.quantized_matmul(xs, *q, transpose=False, **how)), xs=raw(xs),
            gathered=raw(mx.gather_qmm(left, *e, rhs_indices=ids, transpose=True, **how)),
            both=raw(mx.gather_qmm(left, *e, lhs_indices=rows, rhs_indices=ids, transpose=True, **how))))
    # MLX's CPU has qqmm of one row alone, and leaves global scales out of it.
    scaled, w, one = [], inputs["float32"], x[:1]
    for scale in (float(mx.abs(w[0]).max()), 7.3):
        g = mx.array(scale)
        q = mx.quantize(w, mode="nvfp4", global_scale=g)
        scaled.append(dict(
            scale=scale, planes=[raw(p) for p in q], values=raw(mx.dequantize(*q, mode="nvfp4", global_scale=g))))
    plain = mx.quantize(w[:1], mode="nvfp4")
    OUT.write_text(json.dumps(dict(
        scaled=scaled, qqmm=raw(mx.qqmm(one, *plain)),
        weights={name: raw(w) for name, w in inputs.items()}, cases=cases, x=raw(x), left=raw(left),
        experts=raw(experts), products=products)).replace("}, {", "},\n{") + "\n")


if __name__ == "__main__":
    main()
