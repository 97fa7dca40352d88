#!/usr/bin/env python3
"""Writes tests/data/fast.json: matrix products and fused operations, computed by NumPy in float64.

Every operation is written here from its definition, so that the tests hold hearth to something
that shares no code with it. Run from the root of the repository; needs NumPy only.
"""
import json
from math import erf

import numpy as np

rng = np.random.default_rng(20240817)
cases = []


def normal(*shape, centre=0):
    """Few digits, so that the file stays small; exactly what hearth reads from it."""
    return np.round(rng.standard_normal(shape) + centre, 2).astype(np.float32)


def case(op, inputs, out, **params):
    def tensor(a, digits=8):
        a = np.asarray(a)
        return {"shape": list(a.shape), "data": [float(f"{v:.{digits}g}") for v in a.ravel()]}

    outs = out if isinstance(out, tuple) else (out,)
    cases.append({"op": op, "params": params, "in": [tensor(i, 3) for i in inputs],
                  "out": [tensor(np.asarray(o, np.float64)) for o in outs]})


def wide(*arrays):
    return [np.asarray(a, np.float64) for a in arrays]


# Products -------------------------------------------------------------------------------------
for sa, sb in [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 3), (3, 2)), ((1, 17), (17, 9)),
               ((2, 1, 4, 3), (5, 3, 2)), ((7, 4), (2, 4, 3)), ((2, 0), (0, 3)), ((0, 2), (2, 3)),
               ((3, 2, 6), (6,)), ((17, 33), (33, 20))]:
    a, b = normal(*sa), normal(*sb)
    case("matmul", [a, b], np.matmul(*wide(a, b)))
a, b, c = normal(3, 5), normal(5, 4), normal(4)
for alpha, beta in [(1.0, 1.0), (1.0, 0.5), (2.0, -1.0)]:
    A, B, C = wide(a, b, c)
    case("addmm", [c, a, b], alpha * (A @ B) + beta * C, alpha=alpha, beta=beta)
a, b = normal(2, 3, 4), normal(5, 4)
case("inner", [a, b], np.inner(*wide(a, b)))
a, b = normal(2, 3), normal(4)
case("outer", [a, b], np.outer(*wide(a, b)))
a, b = normal(2, 3, 4), normal(3, 4, 5)
case("tensordot", [a, b], np.tensordot(*wide(a, b), axes=2), axes=2)
a, b = normal(4, 3, 2), normal(5, 2, 4)
case("tensordot", [a, b], np.tensordot(*wide(a, b), axes=([0, 2], [2, 1])), axes_a=[0, 2],
     axes_b=[2, 1])
a, b = normal(2, 3, 4), normal(3, 4)
case("vecdot", [a, b], np.einsum("bij,ij->bi", *wide(a, b)), axis=-1)
a, b = normal(2, 3), normal(3, 1, 2)
case("kron", [a, b], np.kron(*wide(a, b)))

# Norms ----------------------------------------------------------------------------------------
for shape in [(7,), (3, 5), (2, 3, 20), (1, 131)]:
    x, w, b = normal(*shape, centre=1), normal(shape[-1]), normal(shape[-1])
    X, W, B = wide(x, w, b)
    eps = float(np.float32(1e-5))
    unit = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + eps)
    case("layer_norm", [x, w, b], unit * W + B, eps=1e-5)
    case("layer_norm", [x], unit, eps=1e-5)
    case("rms_norm", [x, w], X / np.sqrt((X * X).mean(-1, keepdims=True) + eps) * W, eps=1e-5)

# Rotary embedding -----------------------------------------------------------------------------


def rotate(x, dims, traditional, base, scale, offsets, freqs=None):
    """x (B, ..., L, D) with the position on the axis before the last."""
    x = np.array(x, np.float64)
    half, L = dims // 2, x.shape[-2]
    rate = base ** (-np.arange(half) / half) if freqs is None else 1 / np.asarray(freqs, float)
    for row, offset in zip(x, np.broadcast_to(offsets, len(x))):
        theta = (np.arange(L) + offset)[:, None] * scale * rate
        c, s = np.cos(theta), np.sin(theta)
        first = np.s_[..., 0:dims:2] if traditional else np.s_[..., :half]
        second = np.s_[..., 1:dims:2] if traditional else np.s_[..., half:dims]
        p, q = row[first].copy(), row[second].copy()
        row[first], row[second] = p * c - q * s, p * s + q * c
    return x


for shape, dims in [((2, 3, 5, 8), 8), ((1, 2, 3, 20), 12), ((2, 7, 6), 4), ((2, 2, 2, 2, 4), 2)]:
    for traditional in (False, True):
        x = normal(*shape)
        case("rope", [x], rotate(x, dims, traditional, 10000.0, 1.0, 3), dims=dims,
             traditional=traditional, base=10000.0, scale=1.0, offset=[3])
x, freqs = normal(2, 2, 4, 6), np.float32([1.25, 2.5])
case("rope", [x, freqs], rotate(x, 4, False, 0, 0.5, [1, 7], freqs), dims=4, traditional=False,
     scale=0.5, offset=[1, 7])

# Attention ------------------------------------------------------------------------------------


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, scale, mask=None, sinks=None):
    q, k, v = wide(q, k, v)
    k, v = (np.repeat(t, q.shape[1] // t.shape[1], axis=1) for t in (k, v))
    s = scale * (q @ k.swapaxes(-1, -2))
    if mask is not None:
        s = np.where(mask, s, -3.4e38) if mask.dtype == bool else s + mask
    if sinks is not None:
        column = np.broadcast_to(sinks[None, :, None, None], s.shape[:-1] + (1,))
        return softmax(np.concatenate([column, s], -1))[..., 1:] @ v
    return softmax(s) @ v


for B, H, Hkv, L, S, D, Dv in [(1, 2, 2, 1, 5, 8, 8), (2, 4, 2, 3, 7, 20, 20), (1, 6, 2, 19, 23, 5, 3)]:
    q, k, v = normal(B, H, L, D), normal(B, Hkv, S, D), normal(B, Hkv, S, Dv)
    causal = np.arange(S) <= np.arange(S - L, S)[:, None]
    case("attention", [q, k, v], attention(q, k, v, 0.3), scale=0.3, mode="")
    case("attention", [q, k, v], attention(q, k, v, 0.3, causal), scale=0.3, mode="causal")
    added = normal(L, S)
    case("attention", [q, k, v, added], attention(q, k, v, 0.3, added), scale=0.3, mode="array")
    seen = rng.random((B, 1, L, S)) < 0.6
    seen[..., 0] = True
    case("attention", [q, k, v, seen], attention(q, k, v, 0.3, seen), scale=0.3, mode="bool")
    sinks = normal(H)
    case("attention", [q, k, v, sinks], attention(q, k, v, 0.3, causal, sinks), scale=0.3,
         mode="sinks")

# Attention over a cache: rows of the batch hold different numbers of positions.
for B, L, H, Hkv, D, capacity, dims, traditional, offsets in [
        (2, 1, 4, 2, 8, 9, 4, False, [3, 8]), (2, 3, 2, 2, 12, 16, 12, True, [0, 6]),
        (1, 20, 2, 1, 6, 24, 0, False, [4])]:
    q, k, v = normal(B, L, H, D), normal(B, L, Hkv, D), normal(B, L, Hkv, D)
    ck, cv = normal(B, Hkv, capacity, D), normal(B, Hkv, capacity, D)
    turn = lambda t: rotate(t.swapaxes(1, 2), dims, traditional, 1000.0, 1.0, offsets)
    Q, K, V = turn(q), turn(k), v.swapaxes(1, 2).astype(np.float64)
    ck2, cv2 = ck.astype(np.float64), cv.astype(np.float64)
    y = np.zeros((B, L, H, D))
    for b, o in enumerate(offsets):
        ck2[b, :, o:o + L], cv2[b, :, o:o + L] = K[b], V[b]
        mask = np.arange(o + L) <= np.arange(o, o + L)[:, None]
        row = attention(Q[b:b + 1], ck2[b:b + 1, :, :o + L], cv2[b:b + 1, :, :o + L], 0.4, mask)
        y[b] = row[0].swapaxes(0, 1)
    case("cached_attention", [q, k, v, ck, cv], (y, ck2, cv2), scale=0.4, dims=dims, base=1000.0,
         traditional=traditional, offsets=offsets)

# Linear ---------------------------------------------------------------------------------------
activations = {
    "none": lambda t: t,
    "relu": lambda t: np.maximum(t, 0),
    "silu": lambda t: t / (1 + np.exp(-t)),
    "gelu_approx": lambda t: 0.5 * t * (1 + np.tanh(np.sqrt(2 / np.pi) * (t + 0.044715 * t**3))),
    "gelu": lambda t: 0.5 * t * (1 + np.vectorize(erf)(t / np.sqrt(2))),
}
for name, f in activations.items():
    for shape, n in [((1, 12), 7), ((2, 9, 5), 6)]:
        x, w, b = normal(*shape), normal(n, shape[-1]), normal(n)
        r = normal(*shape[:-1], n)
        X, W, B, R = wide(x, w, b, r)
        case("linear", [x, w, b, r], f(X @ W.T + B) + R, activation=name)

with open("tests/data/fast.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
