#!/usr/bin/env python3
"""Expected values of creation, scattered updates and searchsorted, by NumPy (2.4).

    python3 tools/goldens_create.py > tests/data/ops/create.json
"""
import json
import numpy as np

cases = []


def add(op, out, **args):
    out = np.asarray(out)
    values = [float(v) if out.dtype.kind == "f" else int(v) for v in out.ravel()]
    cases.append(dict(op=op, args=args, shape=list(out.shape), out=values))


for start, stop, step in [(0, 5, 1), (5, 0, -2), (0, 5, -1), (-3, 3, 2), (0, 0, 1), (2, 100, 7)]:
    add("arange", np.arange(start, stop, step), start=start, stop=stop, step=step, exact=True)
for start, stop, step in [(0.0, 1.0, 0.1), (0.5, 5.5, 1.5), (1.0, -1.0, -0.25), (0.0, 3.0, 0.4), (-2.5, 2.5, 0.5), (0, 3, 1e300)]:
    n = max(0, int(np.ceil((stop - start) / step)))
    add("arange", start + np.arange(n) * step, start=start, stop=stop, step=step, exact=False)
for start, stop, n, end in [(0, 10, 5, True), (0, 10, 1, True), (0, 10, 0, True), (-7, 3, 11, True), (0, 1, 7, True),
                            (1, 0, 4, False), (0.1, 0.7, 50, True), (3, 3, 3, True)]:
    add("linspace", np.linspace(start, stop, n, end), start=start, stop=stop, num=n, endpoint=end)
for name, f in [("hanning", np.hanning), ("hamming", np.hamming), ("bartlett", np.bartlett), ("blackman", np.blackman)]:
    for n in [0, 1, 2, 5, 6, 33]:
        add(name, f(n), n=n)
for n, m, k in [(3, 3, 0), (3, 4, -1), (4, 3, 2), (0, 3, 0), (2, 2, 5), (2, 2, -5)]:
    add("eye", np.eye(n, m, k, dtype=np.int64), n=n, m=m, k=k)
    add("tri", np.tri(n, m, k, dtype=np.int64), n=n, m=m, k=k)

rng = np.random.default_rng(1)
for shape, axis, n in [((5,), 0, 12), ((3, 4), 0, 7), ((3, 4), 1, 9), ((2, 3, 4), 1, 5)]:
    a = rng.integers(0, 4, shape)
    places = rng.integers(-shape[axis], shape[axis], n)
    block = list(shape)
    block[axis] = 1
    updates = rng.integers(0, 3, [n] + block)
    for name, f in [("add", np.add), ("prod", np.multiply), ("max", np.maximum), ("min", np.minimum)]:
        out = a.copy()
        rows = np.moveaxis(out, axis, 0)
        for i, p in enumerate(places):
            rows[p] = f(rows[p], np.moveaxis(updates[i], axis, 0)[0])
        add("scatter_" + name, out, a=a.ravel().tolist(), shape=shape, axis=axis, places=places.tolist(),
            updates=updates.ravel().tolist(), updates_shape=updates.shape)
for shape, axis, n in [((5,), 0, 12), ((3, 4), 0, 7), ((3, 4), -1, 9)]:
    a = rng.integers(0, 4, shape)
    at = list(shape)
    at[axis] = n
    places = rng.integers(-shape[axis], shape[axis], at)
    values = rng.integers(0, 3, at)
    out = a.copy()
    ax = axis % len(shape)
    for i in np.ndindex(*at):
        j = list(i)
        j[ax] = places[i]
        out[tuple(j)] += values[i]
    add("scatter_add_axis", out, a=a.ravel().tolist(), shape=shape, axis=axis, places=places.ravel().tolist(),
        updates=values.ravel().tolist(), updates_shape=at)
for box in [((4, 6), (1, 0), (4, 6), (2, 2)), ((4, 6), (3, 5), (-5, -7), (-1, -1)), ((5,), (4,), (0,), (-2,))]:
    shape, start, stop, strides = box
    at = tuple(slice(*s) for s in zip(start, stop, strides))
    a = rng.integers(0, 4, shape)
    u = rng.integers(0, 4, a[at].shape)
    for name, f in [("add", np.add), ("prod", np.multiply), ("max", np.maximum), ("min", np.minimum)]:
        out = a.copy()
        out[at] = f(out[at], u)
        add("slice_update_" + name, out, a=a.ravel().tolist(), shape=shape, start=start, stop=stop, strides=strides,
            updates=u.ravel().tolist(), updates_shape=u.shape)
for values in [[1, 2, 2, 4, 4, 4, 9], [], [3], list(range(0, 60, 3))]:
    queries = np.array([[0, 1, 2, 3, 4], [5, 9, 10, 57, 59]])
    for side in ("left", "right"):
        add("searchsorted", np.searchsorted(np.array(values, dtype=np.int64), queries, side), sorted=values,
            values=queries.ravel().tolist(), shape=queries.shape, side=side)

print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
