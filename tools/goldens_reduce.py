#!/usr/bin/env python3
"""Expected results of reductions, scans, sorting and softmax, by NumPy in float64.

Writes tests/data/reduce.json, scan_sort.json and (elementwise, in several steps) composed.json: for every dtype, inputs of shape
(2, 3, 4) as bytes in hexadecimal, and results as "dtype(shape):bytes". Needs NumPy 2.
"""
import json
import pathlib
import warnings

import numpy as np

warnings.simplefilter("ignore")
np.seterr(all="ignore")
SHAPE = (2, 3, 4)
INTS = {"bool": np.bool_, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
        "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64}
FLOATS = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "bf16": None, "c64": np.complex64}


def bf16_bits(x):
    """float64 to bfloat16, rounded once, ties to even."""
    x = np.asarray(x, np.float64)
    f = x.astype(np.float32)
    # Rounding twice is avoided by setting the last bit where a digit was lost.
    bits = f.view(np.uint32).astype(np.int64)
    lost = np.isfinite(x) & (f.astype(np.float64) != x)
    away = lost & (np.abs(f.astype(np.float64)) > np.abs(x))
    bits = np.where(away, bits - 1, bits)
    bits = np.where(lost, bits | 1, bits)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


def bf16_values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def encode(x, dtype):
    """Values (float64, complex128 or integers) as that dtype."""
    if dtype == "bf16":
        raw = bf16_bits(x)
    elif dtype in FLOATS:
        raw = np.asarray(x).astype(FLOATS[dtype])
    else:
        raw = np.asarray(x).astype(INTS[dtype])
    shape = ",".join(map(str, np.shape(x)))
    return f"{dtype}({shape}):{np.ascontiguousarray(raw).tobytes().hex()}"


def inputs(dtype):
    """Arrays exactly representable in dtype, as Python computes with them."""
    rng = np.random.default_rng(7)
    n = int(np.prod(SHAPE))
    if dtype == "bool":
        yield "plain", (rng.integers(0, 3, SHAPE) > 0)
    elif dtype in INTS:
        info = np.iinfo(INTS[dtype])
        small = rng.integers(0 if info.min == 0 else -4, 5, SHAPE).astype(INTS[dtype])
        yield "plain", small
        ends = rng.integers(info.min, info.max, SHAPE, dtype=INTS[dtype], endpoint=True)
        ends.flat[3], ends.flat[14] = info.min, info.max
        yield "special", ends
    elif dtype == "c64":
        x = rng.integers(-16, 17, SHAPE) / 4 + 1j * rng.integers(-16, 17, SHAPE) / 4
        yield "plain", x
        s = x.copy()
        s.flat[2], s.flat[7], s.flat[17] = complex(np.nan, 1), complex(2, np.nan), complex(np.nan, np.nan)
        yield "special", s
    else:
        x = rng.integers(-1024, 1025, SHAPE) / 128.0
        if dtype == "bf16":
            x = rng.integers(-128, 129, SHAPE) / 16.0
        x.flat[5] = x.flat[6]
        yield "plain", x
        tiny = {"f16": 2.0**-24, "bf16": 2.0**-133, "f32": 2.0**-149, "f64": 5e-324}[dtype]
        s = x.copy()
        # One row with NaN, one with infinity, one with both infinities, signed zeros, denormals.
        s.flat[1] = np.nan
        s.flat[4] = np.inf
        s.flat[8], s.flat[10] = -np.inf, np.inf
        s.flat[12:16] = [0.0, -0.0, -0.0, 0.0]
        s.flat[16:20] = [tiny, -tiny, 3 * tiny, 0.0]
        s.flat[21] = -np.inf
        yield "special", s


def float_result(dtype):
    return dtype if dtype in FLOATS else "f32"


def sum_result(dtype):
    if dtype in FLOATS or dtype in ("u64", "i64"):
        return dtype
    return "u32" if dtype[0] == "u" else "i32"


def wide(x, dtype):
    """To compute in: 64 bits of the same kind."""
    if dtype == "c64":
        return x.astype(np.complex128)
    if dtype in FLOATS:
        return x.astype(np.float64)
    return x.astype(np.uint64 if dtype[0] == "u" else np.int64)


def logsumexp(x, axis, keepdims=False):
    m = np.max(x.real, axis=axis, keepdims=True)
    finite = np.where(np.isfinite(m), m, 0)
    y = np.log(np.sum(np.exp(x - finite), axis=axis, keepdims=True)) + finite
    if not np.iscomplexobj(x):
        y = np.where(np.isinf(m), m, y)
    return y if keepdims else np.squeeze(y, axis=axis)


def reductions(x, dtype, kind):
    w = wide(x, dtype)
    real = {"c64": "f32"}.get(float_result(dtype), float_result(dtype))
    f = w.astype(np.complex128 if dtype == "c64" else np.float64)
    for axes in [None, (0,), (2,), (-2,), (0, 2), (1, 2)]:
        for keep in ([False, True] if axes in (None, (0, 2)) else [False]):
            name = ("all" if axes is None else ",".join(map(str, axes))) + (" keep" if keep else "")
            args = {"axis": axes, "keepdims": keep}
            yield f"sum {name}", np.sum(w, **args), sum_result(dtype)
            yield f"prod {name}", np.prod(w, **args), sum_result(dtype)
            yield f"mean {name}", np.mean(f, **args), float_result(dtype)
            yield f"max {name}", np.max(w, **args), dtype
            yield f"min {name}", np.min(w, **args), dtype
            yield f"all {name}", np.all(x, **args), "bool"
            yield f"any {name}", np.any(x, **args), "bool"
            if keep:
                continue
            yield f"count_nonzero {name}", np.count_nonzero(x, axis=axes), "i32"
            if kind == "plain":
                yield f"var {name}", np.var(f, axis=axes), real
                yield f"std {name} ddof=1", np.std(f, axis=axes, ddof=1), real
                if dtype != "c64":
                    yield f"median {name}", np.median(f, axis=axes), float_result(dtype)
            if kind == "plain" or dtype != "c64":
                every = tuple(range(3)) if axes is None else axes
                yield f"logsumexp {name}", logsumexp(f, every), float_result(dtype)
    for axis in [None, 0, 1, -1]:
        name = "all" if axis is None else str(axis)
        yield f"argmax {name}", np.argmax(w, axis=axis), "u32"
        yield f"argmin {name}", np.argmin(w, axis=axis), "u32"
    yield "argmax 1 keep", np.argmax(w, axis=1, keepdims=True), "u32"
    if kind == "plain":
        yield "trace", np.trace(w), sum_result(dtype)
        yield "trace 1 1 2", np.trace(w, 1, 1, 2), sum_result(dtype)


def scan(op, x, axis, reverse, exclusive, first):
    if reverse:
        x = np.flip(x, axis)
    y = op.accumulate(x, axis)
    if exclusive:
        start = np.full_like(np.take(y, [0], axis), first)
        y = np.concatenate([start, np.take(y, range(x.shape[axis] - 1), axis)], axis)
    return np.flip(y, axis) if reverse else y


def scans_and_sorts(x, dtype, kind):
    w = wide(x, dtype)
    if dtype == "bool":
        low, high = 0, 1
    elif dtype in INTS:
        low, high = np.iinfo(INTS[dtype]).min, np.iinfo(INTS[dtype]).max
    elif dtype == "c64":
        low, high = complex(-np.inf, -np.inf), complex(np.inf, np.inf)
    else:
        low, high = -np.inf, np.inf
    for axis, reverse, exclusive in [(0, False, False), (2, False, False), (1, True, False),
                                     (2, False, True), (-1, True, True), (0, True, True)]:
        name = f"{axis}" + (" reverse" if reverse else "") + (" exclusive" if exclusive else "")
        how = (axis, reverse, exclusive)
        yield f"cumsum {name}", scan(np.add, w, *how, 0), "i32" if dtype == "bool" else dtype
        yield f"cumprod {name}", scan(np.multiply, w, *how, 1), dtype
        yield f"cummax {name}", scan(np.maximum, w, *how, low), dtype
        yield f"cummin {name}", scan(np.minimum, w, *how, high), dtype
        if dtype != "c64":
            f = w.astype(np.float64)
            yield f"logcumsumexp {name}", scan(np.logaddexp, f, *how, -np.inf), float_result(dtype)
    for axis in [0, 1, -1]:
        yield f"sort {axis}", np.sort(w, axis, kind="stable"), dtype
        yield f"argsort {axis}", np.argsort(w, axis, kind="stable"), "u32"
    yield "sort all", np.sort(w, None, kind="stable"), dtype
    yield "argsort all", np.argsort(w, None, kind="stable"), "u32"
    if dtype != "bool":
        yield "diff 1 -1", np.diff(w), dtype
        yield "diff 2 1", np.diff(w, 2, 1), dtype
    else:
        yield "diff 1 -1", np.diff(x), dtype
    if kind == "plain" or dtype != "c64":
        f = w.astype(np.complex128 if dtype == "c64" else np.float64)
        for axes in [(0, 1, 2), (-1,), (0,), (0, 2)]:
            m = np.max(f.real, axis=axes, keepdims=True)
            e = np.exp(f - m)
            name = "all" if len(axes) == 3 else ",".join(map(str, axes))
            yield f"softmax {name}", e / np.sum(e, axis=axes, keepdims=True), float_result(dtype)


def composed(x, dtype, kind):
    w = wide(x, dtype)
    f = w.astype(np.complex128 if dtype == "c64" else np.float64)
    for axis in range(3):
        yield f"isclose {axis}", np.isclose(f, np.flip(f, axis)), "bool"
        yield f"isclose {axis} nan", np.isclose(f, np.flip(f, axis), equal_nan=True), "bool"
    yield "allclose", np.asarray(np.allclose(f, f)), "bool"
    yield "allclose nan", np.asarray(np.allclose(f, f, equal_nan=True)), "bool"
    yield "array_equal", np.asarray(np.array_equal(f, f)), "bool"
    yield "array_equal nan", np.asarray(np.array_equal(f, f, equal_nan=True)), "bool"
    if dtype in ("f32", "f64") and kind == "plain":
        yield "round 1", np.round(x.astype(FLOATS[dtype]), 1), dtype
    if dtype == "c64":
        return
    for k, axis in [(1, 2), (2, 1), (0, 0)]:
        yield f"partition {k},{axis}", np.sort(w, axis), dtype
        yield f"argpartition {k},{axis}", np.sort(w, axis), dtype
        yield f"topk {k + 1},{axis}", np.take(np.sort(w, axis), range(w.shape[axis] - k - 1, w.shape[axis]), axis), dtype
    if dtype == "bool":
        return
    yield "clip 1,3", np.clip(w, 1, 3), dtype
    if dtype in INTS or kind == "plain":
        floor, rest = np.divmod(w, 3)
        yield "floor_of_divmod 3", floor, dtype
        yield "rest_of_divmod 3", rest, dtype
    if dtype in FLOATS:
        most = {"bf16": 255 * 2.0**120, "f16": 65504.0}.get(dtype) or float(np.finfo(FLOATS[dtype]).max)
        yield "nan_to_num 0", np.nan_to_num(w, posinf=most, neginf=-most), dtype
        yield "nan_to_num 7", np.nan_to_num(w, nan=7, posinf=8, neginf=9), dtype


def write(name, results):
    data = {}
    for dtype in [*INTS, *FLOATS]:
        for kind, x in inputs(dtype):
            data[f"{dtype} {kind}"] = {"input": encode(x, dtype),
                                       "results": {k: encode(v, d) for k, v, d in results(x, dtype, kind)}}
    path = pathlib.Path(__file__).parent.parent / "tests" / "data" / name
    path.write_text(json.dumps(data, indent=0).replace('",\n"', '",\n"') + "\n")
    print(path, path.stat().st_size, "bytes")


write("reduce.json", reductions)
write("scan_sort.json", scans_and_sorts)
write("composed.json", composed)
