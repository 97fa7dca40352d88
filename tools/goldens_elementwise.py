#!/usr/bin/env python3
"""Expected values of every elementwise operation: tests/data/elementwise/<dtype>.txt.

    python3 tools/goldens_elementwise.py tests/data/elementwise

Needs NumPy and mpmath. A file holds the operands of one dtype and one line for each operation:

    x|a|b|c <elements>                 the operand of unary operations, and those of the others
    <operation> <dtype> <elements>     the result's dtype and values
    to_<dtype> <elements>              x as another dtype ("-": nobody says what it should be)

Elements are the hexadecimal bits of the stored value. Integers are computed by NumPy in their own
dtype; what float16, bfloat16 and float32 should give is computed in float64 and rounded once, what
float64 should give by mpmath; complex64 comes from complex128. Each operation is written here
anew, never read from hearth's table.
"""
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
np.seterr(all="ignore")
rng = np.random.default_rng(7)
UNSIGNED, SIGNED = ["uint8", "uint16", "uint32", "uint64"], ["int8", "int16", "int32", "int64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
DTYPES = ["bool"] + UNSIGNED + SIGNED + FLOATS + ["complex64"]
NP = {d: np.dtype("float32" if d == "bfloat16" else d) for d in DTYPES}


def to_bfloat16(v):
    """float64 -> the nearest bfloat16 as float32; ties to even. Through odd rounding to float32."""
    v = np.asarray(v, np.float64)
    f = v.astype(np.float32)
    bits = f.view(np.uint32).astype(np.int64)
    away = np.abs(f.astype(np.float64)) > np.abs(v)
    exact = (f.astype(np.float64) == v) | ~np.isfinite(f) & ~np.isfinite(v)
    bits = np.where(exact, bits, np.where(away, bits - 1, bits) | 1)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16
    out = rounded.astype(np.uint32).view(np.float32).reshape(v.shape)
    return np.where(np.isnan(v), np.float32(np.nan), out)


def cast(v, d):
    v = np.asarray(v)
    if d == "bfloat16":
        return to_bfloat16(v.real if np.iscomplexobj(v) else v)
    if np.iscomplexobj(v) and d not in ("complex64", "bool"):
        v = v.real
    return v.astype(NP[d])


def bits(v, d):
    v = np.ascontiguousarray(v)
    if d == "bfloat16":
        return ["%04x" % (int(u) >> 16) for u in v.astype(np.float32).view(np.uint32).ravel()]
    size = NP[d].itemsize
    raw = v.astype(NP[d]).ravel().view(np.uint8).reshape(-1, size)
    return [bytes(r[::-1]).hex() for r in raw]


# ---- What the operations are ---------------------------------------------------------------------


def finite_by(f, special):
    """f in mpmath where the operands are finite and not 0, NumPy's `special` elsewhere."""
    def g(*args):
        out = []
        for row in zip(*[np.asarray(a, np.float64).ravel() for a in args]):
            s = float(special(*[np.float64(v) for v in row]))
            if all(np.isfinite(row)) and all(row) and np.isfinite(s) and s != 0:
                r = f(*[mp.mpf(float(v)) for v in row])
                s = float(r) if not isinstance(r, mp.mpc) else s
            out.append(s)
        return np.array(out)
    return g


def np_erf(x):
    return np.nan if np.isnan(x) else float(mp.erf(mp.mpf(float(x)))) if x else x


def mp_erfc(x):
    return mp.erfc(min(max(x, -100), 100))  # 2 or 0 beyond, where mpmath overflows


def np_erfinv(x):
    if not abs(x) <= 1:
        return np.nan
    return np.copysign(np.inf, x) if abs(x) == 1 else float(mp.erfinv(mp.mpf(float(x)))) if x else x


def np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mp_sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def gelu(x):
    return x / 2 * mp_erfc(-x / mp.sqrt(2))


def gelu_approx(x):
    return x * mp_sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))


def np_gelu(x):
    if not np.isfinite(x) or x == 0:
        return np.nan if x == -np.inf else x
    return float(gelu(mp.mpf(float(x))))


def np_gelu_approx(x):
    return np.float64(0.5) * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))


# name: (in mpmath, by NumPy). Where only NumPy is given it is exact in float64 already.
FLOAT_UNARY = {
    "abs": np.abs, "negative": np.negative, "sign": np.sign, "reciprocal": lambda x: 1 / x,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "square": np.square,
    "sqrt": np.sqrt, "rsqrt": (lambda x: 1 / mp.sqrt(x), lambda x: 1 / np.sqrt(x)),
    "exp": (mp.exp, np.exp), "expm1": (mp.expm1, np.expm1), "log": (mp.log, np.log),
    "log2": (lambda x: mp.log(x, 2), np.log2), "log10": (mp.log10, np.log10),
    "log1p": (mp.log1p, np.log1p), "sin": (mp.sin, np.sin), "cos": (mp.cos, np.cos),
    "tan": (mp.tan, np.tan), "arcsin": (mp.asin, np.arcsin), "arccos": (mp.acos, np.arccos),
    "arctan": (mp.atan, np.arctan), "sinh": (mp.sinh, np.sinh), "cosh": (mp.cosh, np.cosh),
    "tanh": (mp.tanh, np.tanh), "arcsinh": (mp.asinh, np.arcsinh),
    "arccosh": (mp.acosh, np.arccosh), "arctanh": (mp.atanh, np.arctanh),
    "degrees": (mp.degrees, np.degrees), "radians": (mp.radians, np.radians),
    "sigmoid": (mp_sigmoid, np_sigmoid), "erf": (mp.erf, np_erf), "erfinv": (mp.erfinv, np_erfinv),
    "real": np.real, "imag": lambda x: np.zeros_like(x), "conjugate": np.conj,
    "relu": lambda x: np.maximum(x, 0), "silu": (lambda x: x * mp_sigmoid(x), lambda x: x * np_sigmoid(x)),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: np.logaddexp(x, 0)),
    "gelu": (gelu, np_gelu), "gelu_approx": (gelu_approx, np_gelu_approx),
}
PREDICATES = {
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
    "isposinf": lambda x: x == np.inf, "isneginf": lambda x: x == -np.inf,
    "logical_not": np.logical_not,
}
QUOTIENT = [np.float64]
FLOAT_BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "maximum": np.maximum, "minimum": np.minimum, "remainder": np.remainder,
    # MLX's: the floor of the quotient as the dtype gives it (of halves, as float32).
    "floor_divide": lambda a, b: np.floor((a / b).astype(QUOTIENT[0])), "power": (mp.power, np.power),
    "arctan2": (mp.atan2, np.arctan2),
    "logaddexp": (lambda a, b: max(a, b) + mp.log1p(mp.exp(-abs(a - b))), np.logaddexp),
}
COMPARE = {
    "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}
INT_UNARY = {
    "abs": np.abs, "negative": np.negative, "sign": np.sign, "floor": np.array, "ceil": np.array,
    "trunc": np.array, "round": np.array, "square": np.square, "real": np.array,
    "imag": np.zeros_like, "conjugate": np.array, "bitwise_invert": np.invert,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
}


def int_power(a, b):
    """Wraps; a negative exponent truncates 1 / a^|b|."""
    out = []
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist()):
        end = 2 ** (8 * a.itemsize)
        v = pow(x, y, end) if y >= 0 else {1: 1, -1: -1 if y % 2 else 1}.get(x, 0)
        out.append(v % end)
    return np.array(out, "uint64").astype("uint%d" % (8 * a.itemsize)).view(a.dtype)


INT_BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "power": int_power,
    "maximum": np.maximum, "minimum": np.minimum, "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "left_shift": np.left_shift,
    "right_shift": np.right_shift,
}
COMPLEX_UNARY = {
    "abs": np.abs, "negative": np.negative, "sign": np.sign, "reciprocal": lambda x: 1 / x,
    "round": np.rint, "square": np.square, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "arcsin": np.arcsin,
    "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "arcsinh": np.arcsinh, "arccosh": np.arccosh, "arctanh": np.arctanh,
    "degrees": lambda x: x * (180 / np.pi), "radians": lambda x: x * (np.pi / 180),
    "sigmoid": np_sigmoid, "silu": lambda x: x * np_sigmoid(x), "real": np.real, "imag": np.imag,
    "conjugate": np.conj,
}


def complex_logaddexp(a, b):
    most, other = np.where(a.real >= b.real, a, b), np.where(a.real >= b.real, b, a)
    return most + np.log1p(np.exp(other - most))


COMPLEX_BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply,
                  "divide": np.divide, "power": np.power, "maximum": np.maximum,
                  "minimum": np.minimum, "logaddexp": complex_logaddexp}

# ---- Operands ------------------------------------------------------------------------------------


def operands(d):
    """x, a, b, c of a dtype, as NumPy arrays (bfloat16 as float32)."""
    flags = rng.integers(0, 2, 200).astype(bool)
    if d == "bool":
        return np.array([0, 1], bool), np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool), flags[:4]
    if d in UNSIGNED + SIGNED:
        t = np.iinfo(NP[d])
        special = sorted({t.min, t.max, t.max - 1, t.max // 2, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64} |
                         ({-1, -2, -3, -7, -8, t.min + 1} if t.min else set()))
        special = [v for v in special if t.min <= v <= t.max]
        more = rng.integers(t.min, t.max, 12, NP[d], endpoint=True).tolist()
        pairs = [(p, q) for p in special for q in special]
        a = [p for p, _ in pairs] + more
        b = [q for _, q in pairs] + more[::-1]
        return tuple(np.array(v, NP[d]) for v in (special + more, a, b)) + (np.resize(flags, len(a)),)
    if d == "complex64":
        plain = (rng.normal(size=40) * 2 + 1j * rng.normal(size=40) * 2).astype(NP[d])
        x = np.concatenate([plain, np.array([0, 1, -1, 1j, -1j, 3 + 4j, 0.5, 2, 1e-3j, 1e-5], NP[d])])
        a = np.concatenate([x, x[::-1][:10], np.full(10, 1 + 2j, NP[d])])
        b = np.concatenate([np.roll(x, 7), np.zeros(10, NP[d]), np.full(10, 1 + 3j, NP[d])])
        return x, a, b, np.resize(flags, len(a))
    t = {"float16": np.finfo(np.float16), "float32": np.finfo(np.float32),
         "float64": np.finfo(np.float64), "bfloat16": None}[d]
    most, least, tiny, eps = ((float(t.max), float(t.tiny), float(t.smallest_subnormal), float(t.eps))
                              if t else (float.fromhex("0x1.fep127"), 2.0**-126, 2.0**-133, 2.0**-7))
    special = [0.0, 1, 0.5, 2, 1.5, 2.5, 3, np.inf, np.nan, tiny, least - tiny, least, most, 1 + eps, 1 - eps / 2,
               np.pi / 2, np.pi, 1e-4, 0.1, 0.3, 0.7, 0.99, 5, 9, 17, 80, 88.5, 103, 700, 744, 1e4, 60000, 1e6,
               123456789, 3e9, 1e15, 1e30]
    random = np.concatenate([rng.normal(size=12), rng.normal(size=12) * 6, rng.uniform(-1, 1, 12)])
    x = np.array([v for s in special for v in (s, -s)] + random.tolist())
    few = [0, -0.0, 1, -1, 2.5, -2.5, 3, np.inf, -np.inf, np.nan, most, tiny, -7]
    a = [p for p in few for _ in few] + (rng.normal(size=25) * 4).tolist()
    b = [q for _ in few for q in few] + (rng.normal(size=25) * 4).tolist()
    x, a, b = (cast(np.array(v, np.float64), d) for v in (x, a, b))
    return np.where(np.isnan(x), np.nan, x).astype(x.dtype), a, b, np.resize(flags, len(a))


# ---- Lines ---------------------------------------------------------------------------------------


def float_value(f, args):
    """f of the float64 values of args."""
    wide = [np.asarray(v, np.float64) for v in args]
    if not isinstance(f, tuple):
        return f(*wide)
    return finite_by(*f)(*wide)


def lines(d):
    x, a, b, c = operands(d)
    for name, v in (("x", x), ("a", a), ("b", b)):
        yield name, bits(v, d)
    yield "c", bits(c, "bool")

    results = []
    QUOTIENT[0] = np.float64 if d == "float64" else np.float32
    if d in FLOATS:
        for name, f in FLOAT_UNARY.items():
            results.append((name, d, cast(float_value(f, (x,)), d)))
        for name, f in FLOAT_BINARY.items():
            results.append((name, d, cast(float_value(f, (a, b)), d)))
    elif d == "complex64":
        for name, f in COMPLEX_UNARY.items():
            out = f(x.astype(np.complex128))
            results.append((name, "complex64" if np.iscomplexobj(out) else "float32", out))
        for name, f in COMPLEX_BINARY.items():
            results.append((name, d, f(a.astype(np.complex128), b.astype(np.complex128))))
    elif d == "bool":
        for name in ("abs", "sign", "floor", "ceil", "trunc", "round", "square", "real", "conjugate", "relu"):
            results.append((name, d, x))
        results.append(("imag", d, np.zeros_like(x)))
        results.append(("bitwise_invert", d, ~x))
        for name, f in INT_BINARY.items():
            out = "uint8" if "shift" in name else d
            if name in ("subtract",):
                f = np.not_equal
            results.append((name, out, f(a.astype("uint8"), b.astype("uint8")).astype(NP[out])))
    else:
        for name, f in INT_UNARY.items():
            results.append((name, d, f(x)))
        for name, f in INT_BINARY.items():
            results.append((name, d, f(a, b)))
    if d == "bool" or d in UNSIGNED + SIGNED:  # become float32
        for name in ("exp", "sqrt", "log1p", "tanh", "reciprocal", "erf"):
            results.append((name, "float32", cast(float_value(FLOAT_UNARY[name], (cast(x, "float32"),)), "float32")))
        for name in ("divide", "arctan2"):
            args = cast(a, "float32"), cast(b, "float32")
            results.append((name, "float32", cast(float_value(FLOAT_BINARY[name], args), "float32")))
    for name, f in PREDICATES.items():
        results.append((name, "bool", f(x)))
    for name, f in COMPARE.items():
        results.append((name, "bool", f(a, b)))
    results.append(("where", d, np.where(c, a, b)))
    for name, out, v in results:
        yield name + " " + out, bits(v, out)

    for to in DTYPES:
        yield "to_" + to, casts(x, d, to)


def casts(x, d, to):
    """Element by element; "-" where the value does not fit the integer."""
    out = []
    for v in x:
        if to in UNSIGNED + SIGNED and d != "bool" and d not in UNSIGNED + SIGNED:
            t, r = np.iinfo(NP[to]), v.real
            if not np.isfinite(r) or not t.min <= int(r) <= t.max:
                out.append("-")
                continue
            v = np.array(int(r), NP[to])
        elif to in ("float16", "bfloat16") and d in UNSIGNED + SIGNED:
            out += bits(nearest_half(int(v), to), to)  # by exact arithmetic: float64 rounds int64
            continue
        out += bits(cast(v, to), to)
    return out


def nearest_half(v, to):
    digits, most = (11, 65504) if to == "float16" else (8, None)
    size = abs(v)
    shift = max(size.bit_length() - digits, 0)
    if shift:
        low, half = size & ((1 << shift) - 1), 1 << (shift - 1)
        size >>= shift
        size += low > half or (low == half and size & 1)
        size <<= shift
    if most and size > most:
        size = np.inf
    return np.array(-float(size) if v < 0 else float(size), np.float32)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for d in DTYPES:
        with open(folder / (d.rstrip("_") + ".txt"), "w") as f:
            for name, words in lines(d):
                f.write(name + " " + " ".join(words) + "\n")


main()
