#!/usr/bin/env python3
"""Expected results of movement and indexing operations, by NumPy, as maps of places.

Each case applies an operation to arange(n): the output then says, for every element, which input
element stands there. Elements of a second operand count from 1000; -1 is a zero or padding. So one
case serves every dtype and memory layout.

    python3 tools/goldens_movement.py > tests/data/ops/movement.json     (NumPy 2.4)
"""
import json
import numpy as np

cases = []


def add(op, shape, out, **args):
    outs = out if isinstance(out, (list, tuple)) else [out]
    cases.append(dict(op=op, shape=list(shape), args=args,
                      out=[dict(shape=list(o.shape), at=[int(v) for v in o.ravel()])
                           for o in outs]))


def iota(shape, start=0):
    return np.arange(start, start + int(np.prod(shape)), dtype=np.int64).reshape(shape)


def slices(start, stop, strides):
    # MLX, like NumPy, adds the size to a negative stop: -size - 1 is the end of a backward walk.
    return tuple(slice(*s) for s in zip(start, stop, strides))


for shape, to in [((2, 3, 4), (6, 4)), ((2, 3, 4), (4, -1)), ((2, 3, 4), (2, 2, 3, 2)), ((6,), (1, 6, 1)),
                  ((1,), ()), ((0, 3), (3, 0, 2)), ((0, 3), (-1, 3)), ((2, 3), (2, 3))]:
    add("reshape", shape, iota(shape).reshape(to), to=to)
for shape, a, b in [((2, 3, 4), 0, -1), ((2, 3, 4), 1, 2), ((2, 3, 4), -2, -1), ((), 0, -1), ((0, 2), 0, 1)]:
    x = iota(shape)
    n = len(shape)
    lo, hi = a % n if n else 0, b % n if n else 0
    add("flatten", shape, x.reshape(shape[:lo] + (-1,) + shape[hi + 1:]) if x.size else x.reshape(0), start=a, end=b)
add("unflatten", (2, 12), iota((2, 12)).reshape(2, 3, 4), axis=1, to=[3, -1])
add("unflatten", (12, 2), iota((12, 2)).reshape(2, 2, 3, 2), axis=-2, to=[2, 2, 3])
for shape, axes in [((1, 3, 1), [0]), ((1, 3, 1), [-1, 0]), ((1, 1), [0, 1])]:
    add("squeeze", shape, iota(shape).squeeze(tuple(a % len(shape) for a in axes)), axes=axes)
for shape, axes in [((2, 3), [0]), ((2, 3), [-1]), ((2, 3), [1, 3]), ((), [0, 1]), ((2, 3), [0, -1])]:
    add("expand_dims", shape, np.expand_dims(iota(shape), tuple(axes)), axes=axes)
for shape in [(), (3,), (2, 3), (2, 3, 2)]:
    add("atleast", shape, [np.atleast_1d(iota(shape)), np.atleast_2d(iota(shape)), np.atleast_3d(iota(shape))])
for shape, axes in [((2, 3), [1, 0]), ((2, 3, 4), [2, 0, 1]), ((2, 3, 4), [-1, 1, 0]), ((3, 17), [1, 0]),
                    ((20, 6), [1, 0]), ((5, 24), [1, 0]), ((4,), [0]), ((0, 2), [1, 0])]:
    add("transpose", shape, iota(shape).transpose(axes), axes=axes)
add("swapaxes", (2, 3, 4), iota((2, 3, 4)).swapaxes(0, -1), a=0, b=-1)
for a, b in [(0, -1), (2, 0), (1, 1), (-1, 1)]:
    add("moveaxis", (2, 3, 4), np.moveaxis(iota((2, 3, 4)), a, b), a=a, b=b)
for shape, to in [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((1, 2, 1), (3, 2, 2)), ((1,), (0,)), ((2, 1), (2, 0))]:
    add("broadcast_to", shape, np.broadcast_to(iota(shape), to), to=to)
for shape, axes in [((2, 3, 4), [0]), ((2, 3, 4), [-1, 0]), ((2, 3), [0, 1]), ((0, 2), [0]), ((5,), [0])]:
    add("flip", shape, np.flip(iota(shape), axes), axes=axes)
for shape, to, strides, offset in [((4, 6), (2, 3), (6, 2), 1), ((4, 6), (3, 3), (1, 1), 0), ((12,), (3, 4), (-1, 3), 2),
                                   ((4, 6), (2, 0), (6, 1), 3), ((5,), (2, 3), (0, 1), 1)]:
    item = np.dtype(np.int64).itemsize
    view = np.lib.stride_tricks.as_strided(iota(shape).ravel()[offset:], to, [s * item for s in strides])
    add("as_strided", shape, view, to=to, strides=strides, offset=offset)
for shape, shift, axes in [((2, 3), [1], [1]), ((2, 3), [-7], [1]), ((4, 5), [1, -2], [0, 1]), ((2, 3), [2], None),
                           ((0, 3), [1], [0]), ((4, 3), [1, 2], [0, 0])]:
    add("roll", shape, np.roll(iota(shape), shift if axes else sum(shift), axes), shift=shift, axes=axes or [])
for shape, width, mode in [((2, 3), [(1, 2), (0, 1)], "constant"), ((2, 3), [(1, 1), (2, 2)], "edge"),
                           ((2, 3), [(0, 0), (2, 5)], "reflect"), ((2, 3), [(3, 1), (2, 4)], "symmetric"),
                           ((0, 2), [(1, 1), (0, 1)], "constant"), ((3,), [(0, 0)], "constant"), ((1, 2), [(2, 1), (0, 0)], "reflect")]:
    kw = dict(constant_values=-1) if mode == "constant" else {}
    add("pad", shape, np.pad(iota(shape), width, mode, **kw), width=width, mode=mode)
for shape, reps in [((2, 3), [2]), ((2, 3), [2, 1, 2]), ((3,), [2, 2]), ((2, 2), [0, 1]), ((), [3]), ((2, 3), [])]:
    add("tile", shape, np.tile(iota(shape), reps), reps=reps)
for shape, n, axis in [((2, 3), 2, 0), ((2, 3), 3, -1), ((2, 3), 2, None), ((2, 3), 0, 1), ((0, 2), 2, 1)]:
    add("repeat", shape, np.repeat(iota(shape), n, axis), repeats=n, axis=axis if axis is not None else [])
for shape, axis in [((2, 3), 0), ((2, 3), 2), ((2, 3), -2), ((), 0), ((0, 2), 1)]:
    add("stack", shape, np.stack([iota(shape), iota(shape, 1000), iota(shape)], axis), axis=axis)
for shape, axis in [((2, 3), 0), ((2, 3), 1), ((4,), 0), ((2, 1, 3), -2), ((0, 2), 0)]:
    add("concatenate", shape, np.concatenate([iota(shape), iota(shape, 1000), iota(shape)], axis), axis=axis)
for shape, axis in [((2, 3), 0), ((2, 3), -1), ((2, 0), 0)]:
    add("unstack", shape, [v for v in np.moveaxis(iota(shape), axis, 0)], axis=axis)
for shape, at, axis in [((6, 2), 3, 0), ((2, 6), 2, -1)]:
    add("split", shape, np.split(iota(shape), at, axis), parts=at, axis=axis)
for shape, at, axis in [((6, 2), [1, 4], 0), ((2, 6), [4, 2], 1), ((2, 6), [-2], 1), ((6,), [9], 0), ((6,), [], 0)]:
    add("split_at", shape, np.split(iota(shape), at, axis), at=at, axis=axis)
boxes = [((4, 6), (1, 2), (3, 5), (1, 1)), ((4, 6), (0, 5), (4, -7), (2, -1)), ((4, 6), (-1, -2), (-5, -7), (-2, -3)),
         ((4, 6), (2, 0), (2, 6), (1, 1)), ((4, 6), (0, 0), (100, 100), (3, 4)), ((4, 6), (0, 0), (4, 6), (1, 1)),
         ((4, 6), (3, 5), (-5, -7), (-1, -1)), ((9,), (8,), (0,), (-3,)), ((0, 3), (0, 1), (0, 3), (1, 1)),
         ((4, 6), (-10, 1), (2, -1), (1, 2)), ((2, 3, 4), (0, 1, 0), (2, 3, 4), (1, 1, 2))]
for shape, start, stop, strides in boxes:
    at = slices(start, stop, strides)
    add("slice", shape, iota(shape)[at], start=start, stop=stop, strides=strides)
    x = iota(shape)
    x[at] = iota(x[at].shape, 1000)
    add("slice_update", shape, x, start=start, stop=stop, strides=strides, update=iota(shape)[at].shape)
x = iota((4, 6))
x[1:3, ::2] = iota((3,), 1000)
add("slice_update", (4, 6), x, start=[1, 0], stop=[3, 6], strides=[1, 2], update=[3])
for shape, start, axes, size in [((4, 6), [1, 2], [0, 1], (2, 3)), ((4, 6), [3], [1], (4, 3)), ((4, 6), [0], [0], (4, 6)),
                                 ((2, 3, 4), [2, 1], [2, 1], (1, 2, 2))]:
    first = [0] * len(shape)
    for v, a in zip(start, axes):
        first[a] = v
    at = tuple(slice(f, f + n) for f, n in zip(first, size))
    add("dynamic_slice", shape, iota(shape)[at], start=start, axes=axes, size=size)
    x = iota(shape)
    x[at] = iota(size, 1000)
    add("dynamic_slice_update", shape, x, start=start, axes=axes, update=size)


def diag(x, k):
    out = np.full((len(x) + abs(k),) * 2, -1)
    for i, v in enumerate(x):
        out[i + max(0, -k), i + max(0, k)] = v
    return out


for n, k in [(3, 0), (2, 1), (2, -2), (0, 0), (0, 1)]:
    add("diag", (n,), diag(iota((n,)), k), k=k)
for shape, k in [((3, 4), 0), ((3, 4), -1), ((3, 4), 2), ((3, 4), 4), ((4, 2), -3)]:
    add("diag", shape, np.diag(iota(shape), k), k=k)
for shape, k, a, b in [((3, 4), 1, 0, 1), ((3, 4), 1, 1, 0), ((2, 3, 4), 0, 0, 2), ((2, 3, 4), -1, 1, 2), ((2, 3, 4), 9, 1, 2)]:
    add("diagonal", shape, np.diagonal(iota(shape), k, a, b), k=k, a=a, b=b)
for shape, k in [((3, 4), 0), ((3, 4), 1), ((4, 3), -1), ((2, 3, 3), 0), ((3, 3), 7), ((3, 3), -7), ((0, 3), 0)]:
    keep = np.tri(shape[-2], shape[-1], k, dtype=bool)
    add("tril", shape, np.where(keep, iota(shape), -1), k=k)
    add("triu", shape, np.where(np.tri(shape[-2], shape[-1], k - 1, dtype=bool), -1, iota(shape)), k=k)
for n in [(3,), (1,), (0,)]:
    for sparse in (False, True):
        for indexing in ("xy", "ij"):
            add("meshgrid", n, np.meshgrid(iota(n), iota(n, 1000), iota(n), sparse=sparse, indexing=indexing),
                sparse=sparse, indexing=indexing)
for shape, places, axis in [((3, 4), [2, 0, -1, 2], 0), ((3, 4), [[3, -4], [1, 1]], 1), ((2, 3, 4), [[1]], -2), ((3, 4), [], 0),
                            ((3, 4), 2, 1), ((5, 7), [4, 1], 0), ((0, 4), [[], []], 0), ((3, 4), [[11, -12]], None), ((), [0, -1], None)]:
    p = np.array(places, dtype=np.int64)
    add("take", shape, np.take(iota(shape), p, axis), indices=places, places=p.shape, axis=axis if axis is not None else [])
for shape, places, axis in [((3, 4), [[0, -1, 2, 1]], 0), ((3, 4), [[0, -4], [3, 3], [1, 2]], 1), ((3, 4), [[2], [0], [-1]], -1),
                            ((5,), [4, 4, -5], 0), ((2, 0), [[], []], 1)]:
    p = np.array(places, dtype=np.int64)
    big = np.broadcast_to(p, tuple(s if i != axis % len(shape) else p.shape[i] for i, s in enumerate(shape)))
    add("take_along_axis", shape, np.take_along_axis(iota(shape), big, axis), indices=places, places=p.shape, axis=axis)
    x = iota(shape)
    np.put_along_axis(x, big, iota(big.shape, 1000), axis)
    add("put_along_axis", shape, x, indices=places, places=p.shape, axis=axis, update=big.shape)
for shape, places, axes, sizes in [((4, 5), [[0, 2]], [0], (2, 5)), ((4, 5), [[0, 2], [1, 3]], [1, 0], (1, 2)), ((4, 5), [[[1], [0]], [2, 3]], [0, 1], (1, 1)),
                                   ((4, 5), [], [], (2, 2)), ((4, 5), [[-1, -4]], [1], (4, 1)), ((2, 3, 4), [[1, 0, 1]], [0], (1, 3, 4))]:
    ps = np.broadcast_arrays(*[np.array(p) for p in places]) if places else []
    where = ps[0].shape if places else ()
    out = np.zeros(where + tuple(sizes), dtype=np.int64)
    src = iota(shape)
    dst = iota(shape)
    upd = iota(where + tuple(sizes), 1000)
    for i in np.ndindex(*where):
        first = [0] * len(shape)
        for a, p in zip(axes, ps):
            first[a] = int(p[i]) % shape[a]
        at = tuple(slice(f, f + n) for f, n in zip(first, sizes))
        out[i] = src[at]
        dst[at] = upd[i]
    arg = dict(indices=places, places=[np.array(p).shape for p in places], axes=axes)
    add("gather", shape, out, sizes=sizes, **arg)
    add("scatter", shape, dst, update=upd.shape, **arg)
for shape, mask in [((6,), [1, 0, 1, 1, 0, 0]), ((2, 3), [[0, 0, 1], [1, 1, 0]]), ((2, 3), [0, 1]), ((3,), [0, 0, 0])]:
    m = np.array(mask, dtype=bool)
    x = iota(shape)
    x[m] = iota(x[m].shape, 1000)
    add("masked_scatter", shape, x, mask=mask, places=m.shape, update=[10])

print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
