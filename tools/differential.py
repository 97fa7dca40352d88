#!/usr/bin/env python3
"""hearth's operations against NumPy's on random operands of random shapes, dtypes and layouts.

    tools/differential.py [--build build/release] [--cases 2000] [--seed 1]

Compiles tools/differential.cpp against the built library, gives it operands in one .npz and holds
the results against NumPy's of float64. Prints each that differs, with its seed; needs NumPy."""
import argparse, pathlib, subprocess, sys, tempfile, warnings
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
warnings.filterwarnings("ignore")
FLOATS, INTS = ["float32", "float64", "float16"], ["int8", "uint8", "int16", "int32", "uint32", "int64"]


def lay_out(rng, x):
    """The same values, lying otherwise."""
    how = rng.integers(4)
    if how == 1 and x.ndim > 1:
        return np.asfortranarray(x)
    return x


def numbers(rng, shape, dtype, low=-4, high=4):
    if dtype in INTS:
        return rng.integers(max(low, 0) if dtype[0] == "u" else low, high + 1, shape).astype(dtype)
    if dtype == "complex64":
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


def shape_of(rng, axes, least=1, most=6):
    return tuple(int(n) for n in rng.integers(least, most + 1, axes))


# name: (NumPy's function, operands of it)
def plain(axes=2, dtypes=FLOATS + INTS, least=1, low=-4, high=4):
    def make(rng):
        n = axes if isinstance(axes, int) else int(rng.integers(axes[0], axes[1] + 1))
        return [numbers(rng, shape_of(rng, n, least), rng.choice(dtypes), low, high)]
    return make


def broadcast(dtypes=FLOATS + INTS, low=-4, high=4):
    def make(rng):
        shape = shape_of(rng, int(rng.integers(0, 4)))
        other = tuple(1 if rng.random() < 0.3 else n for n in shape)[int(rng.integers(0, len(shape) + 1)):]
        d = rng.choice(dtypes)
        return [numbers(rng, shape, d, low, high), numbers(rng, other, d, low, high)]
    return make


def product(rng):
    m, k, n = shape_of(rng, 3)
    d = rng.choice(["float32", "float64", "complex64"])
    return [numbers(rng, (m, k), d), numbers(rng, (k, n), d)]


def square(rng):
    n = int(rng.integers(1, 6))
    return [numbers(rng, (2, n, n), rng.choice(["float32", "float64"])) + 6 * np.eye(n, dtype="float32")]


def symmetric(rng):
    a = square(rng)[0]
    return [a + np.swapaxes(a, -1, -2)]


def with_indices(rng):
    n = int(rng.integers(1, 6))
    return [numbers(rng, (n, n, 3), "float32"), rng.integers(-n, n, shape_of(rng, int(rng.integers(1, 3)))).astype("int32")]


F64 = np.float64
REAL, COMPLEX = ["float32", "float64"], ["float32", "float64", "complex64"]
CASES = {
    **{name: (getattr(np, name), broadcast()) for name in ["add", "multiply", "maximum", "minimum", "equal", "less", "greater_equal"]},
    "subtract": (np.subtract, broadcast(FLOATS)), "arctan2": (np.arctan2, broadcast(REAL)), "logaddexp": (np.logaddexp, broadcast(REAL)),
    **{name: (getattr(np, name), plain((0, 3), REAL, 1, -3, 3)) for name in ["exp", "sin", "cos", "tanh", "floor", "ceil", "expm1", "arctan", "sinh", "square", "sign", "abs"]},
    **{name: (getattr(np, name), plain((1, 3), REAL, 1, 0.1, 3)) for name in ["log", "sqrt", "log1p", "log2", "log10"]},
    "sum": (lambda a: a.sum(-1), plain((1, 3))), "sum_all": (lambda a: a.sum(), plain((0, 3))), "prod": (lambda a: a.prod(0), plain((1, 3), REAL)),
    "mean": (lambda a: a.mean(-1), plain((1, 3))), "max": (lambda a: a.max(0), plain((1, 3))), "min": (lambda a: a.min(-1), plain((1, 3))),
    "argmax": (lambda a: a.argmax(-1), plain((1, 3))), "argmin": (lambda a: a.argmin(0), plain((1, 3))), "var": (lambda a: a.var(-1), plain((1, 3), REAL)),
    "std": (lambda a: a.std(0, ddof=1), plain((1, 3), REAL, 2)), "median": (lambda a: np.median(a, -1), plain((1, 3), REAL)),
    "cumsum": (lambda a: a.cumsum(-1), plain((1, 3), REAL + ["int32"])), "cumprod": (lambda a: a.cumprod(0), plain((1, 3), REAL)),
    "sort": (lambda a: np.sort(a, -1), plain((1, 3))), "argsort": (lambda a: np.argsort(a, 0, kind="stable"), plain((1, 3))),
    "flip": (lambda a: np.flip(a, 0), plain((1, 3))), "roll": (lambda a: np.roll(a, 2, -1), plain((1, 3))), "transpose": (np.transpose, plain((1, 4))),
    "tril": (np.tril, plain((2, 3))), "triu": (lambda a: np.triu(a, 1), plain((2, 3))), "diagonal": (lambda a: np.diagonal(a, 1), plain((2, 3))),
    "trace": (np.trace, plain(2, REAL)), "diff": (np.diff, plain((1, 3), REAL)), "tile": (lambda a: np.tile(a, (2, 3)), plain((1, 3))),
    "repeat": (lambda a: np.repeat(a, 3, -1), plain((1, 3))), "pad_edge": (lambda a: np.pad(a, 2, "edge"), plain((1, 3))),
    "pad_reflect": (lambda a: np.pad(a, 1, "reflect"), plain((1, 3), least=2)),
    "every_second": (lambda a: a[..., ::2], plain((1, 3))), "backwards": (lambda a: a[::-1, 1], plain(2, least=2)), "positive_ones": (lambda a: a[a > 0], plain((1, 3))),
    "new_axes": (lambda a: a[None, ..., None, 0], plain((1, 3))), "by_indices": (lambda a, b: a[:, b], with_indices), "by_two_indices": (lambda a, b: a[b, b], with_indices),
    "matmul": (np.matmul, product), "tensordot": (lambda a, b: np.tensordot(a, b, 1), product), "kron": (np.kron, product), "outer": (np.outer, product),
    "inner": (lambda a, b: np.inner(a, b), lambda rng: [numbers(rng, (2, 3), "float32"), numbers(rng, (4, 3), "float32")]),
    "einsum_ij_jk_ki": (lambda a, b: np.einsum("ij,jk->ki", a, b), product), "einsum_ij_ij": (lambda a, b: np.einsum("ij,ij->", a, b), lambda rng: [numbers(rng, (3, 4), "float32")] * 2),
    "einsum_dots": (lambda a, b: np.einsum("...j,kj->...k", a, b), lambda rng: [numbers(rng, shape_of(rng, 2) + (4,), "float64"), numbers(rng, (3, 4), "float64")]),
    "fft": (np.fft.fft, plain((1, 3), COMPLEX)), "ifft": (lambda a: np.fft.ifft(a, axis=0), plain((1, 3), COMPLEX)), "fft2": (np.fft.fft2, plain((2, 3), COMPLEX)),
    "rfft": (np.fft.rfft, plain((1, 3), REAL)), "irfft": (np.fft.irfft, plain((1, 3), COMPLEX, 2)), "fft_12": (lambda a: np.fft.fft(a, 12), plain((1, 3), COMPLEX)),
    "inv": (np.linalg.inv, square), "det": (np.linalg.det, square), "pinv": (np.linalg.pinv, plain((2, 3), REAL)), "norm": (np.linalg.norm, plain((1, 2), REAL)),
    "norm_nuc": (lambda a: np.linalg.norm(a, "nuc"), plain(2, REAL)), "norm_2": (lambda a: np.linalg.norm(a, 2), plain(2, REAL)), "norm_1": (lambda a: np.linalg.norm(a, 1), plain((1, 2), REAL)),
    "svdvals": (lambda a: np.linalg.svd(a, compute_uv=False), plain((2, 3), REAL)), "eigvalsh": (np.linalg.eigvalsh, symmetric),
    "solve": (np.linalg.solve, lambda rng: square(rng) + [numbers(rng, (1, 1), "float32")]), "cross": (np.cross, lambda rng: [numbers(rng, (4, 3), "float32"), numbers(rng, (3,), "float32")]),
    "searchsorted": (lambda a, b: np.searchsorted(np.sort(a.ravel()), b), broadcast(REAL)),
    "take_along_axis": (lambda a, b: np.take_along_axis(a, b, -1), lambda rng: [numbers(rng, (3, 4), "float32"), rng.integers(-4, 4, (3, 2)).astype("int32")]),
}
CASES["solve"] = (np.linalg.solve, lambda rng: (lambda a: [a, numbers(rng, (a.shape[-1], 2), str(a.dtype))])(square(rng)[0]))


def wide(x):
    return x.astype({"f": F64, "c": np.complex128}.get(x.dtype.kind, x.dtype)) if x.dtype.kind in "fc" else x


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", default=str(ROOT / "build/release"))
    options.add_argument("--cases", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    o = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/differential"
        subprocess.run(["g++", "-std=c++20", "-O0", f"-I{ROOT}", str(ROOT / "tools/differential.cpp"), "-o", program,
                        f"-L{o.build}", "-lhearth", f"-Wl,-rpath,{o.build}"], check=True)
        names, operands = [], {}
        for i in range(o.cases):
            rng = np.random.default_rng(o.seed * 1000003 + i)
            name = list(CASES)[i % len(CASES)]
            args = [lay_out(rng, np.asarray(x)) for x in CASES[name][1](rng)]
            names.append((name, args))
            for k, x in enumerate(args):
                operands[f"{i}/{name}/{k}"] = x
        np.savez(f"{folder}/in.npz", **operands)
        subprocess.run([program, f"{folder}/in.npz", f"{folder}/out.npz"], check=True)
        results = np.load(f"{folder}/out.npz")
        bad = 0
        for i, (name, args) in enumerate(names):
            wanted = np.asarray(CASES[name][0](*[wide(a) for a in args]))
            where = f"case {i} (seed {o.seed}): {name} of " + ", ".join(f"{a.dtype} {a.shape}" for a in args)
            if f"{i}/0" not in results:
                print(f"{where}: an error"), (bad := bad + 1)
                continue
            got = results[f"{i}/0"]
            half = any(a.dtype == np.float16 for a in args) or got.dtype == np.float16
            double = got.dtype == F64 and all(a.dtype == F64 for a in args)
            close = 2e-2 if half else 1e-9 if double else 2e-4
            same = got.shape == wanted.shape and np.allclose(got, wanted.astype(got.dtype) if got.dtype.kind in "iu" and wanted.dtype.kind in "iu" else wanted,
                                                            rtol=close, atol=close * max(1, np.abs(wanted).max(initial=0) if wanted.dtype.kind in "fc" else 1), equal_nan=True)
            if not same:
                print(f"{where}: {got.dtype} {got.shape} {got.ravel()[:4]}, wanted {wanted.shape} {wanted.ravel()[:4]}"), (bad := bad + 1)
        print(f"{o.cases} cases, {bad} differ")
        return bad > 0


if __name__ == "__main__":
    sys.exit(main())
