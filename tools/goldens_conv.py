#!/usr/bin/env python3
"""Writes tests/data/conv.json: convolutions and transposed ones, computed by PyTorch in float64.
Run from the root of the repository; needs torch."""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(3)
cases = []


def flat(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.9g}") for v in t.flatten().tolist()]}


def last(t):
    """Channels last, as hearth has them."""
    return t.movedim(1, -1).contiguous()


def numbers(*shape):
    return (torch.rand(*shape, dtype=torch.float64) * 2 - 1).mul(128).round().div(128)


def case(x, w, name, **kw):
    y = getattr(F, name)(x, w, **kw)
    # The weight of a transposed convolution is (I, O / groups, K...) there, (O, K..., I / groups) here.
    if "transpose" in name:
        g = kw.get("groups", 1)
        w = w.unflatten(0, (g, -1)).transpose(1, 2).flatten(0, 1)
    cases.append({"op": name, "input": flat(last(x)), "weight": flat(last(w)), "out": flat(last(y)), "params": kw})


case(numbers(2, 3, 9), numbers(4, 3, 3), "conv1d")
case(numbers(1, 4, 10), numbers(6, 2, 4), "conv1d", stride=3, padding=2, dilation=2, groups=2)
case(numbers(2, 3, 7, 8), numbers(5, 3, 3, 3), "conv2d", padding=[1, 1])
case(numbers(1, 8, 6, 5), numbers(4, 8, 1, 1), "conv2d")
case(numbers(2, 4, 9, 7), numbers(8, 2, 3, 2), "conv2d", stride=[2, 3], padding=[0, 2], dilation=[2, 1], groups=2)
case(numbers(1, 6, 6, 6), numbers(6, 1, 3, 3), "conv2d", padding=[1, 1], groups=6)
case(numbers(1, 2, 5, 4, 6), numbers(3, 2, 2, 3, 3), "conv3d", stride=[1, 2, 1], padding=[1, 1, 0], dilation=[1, 1, 2])
case(numbers(2, 3, 5), numbers(3, 4, 3), "conv_transpose1d", stride=2, padding=1, output_padding=1)
case(numbers(1, 4, 4, 3), numbers(4, 3, 3, 2), "conv_transpose2d", stride=[3, 2], padding=[1, 0], dilation=[1, 2], output_padding=[2, 1], groups=2)
case(numbers(1, 2, 3, 3, 2), numbers(2, 2, 2, 3, 2), "conv_transpose3d", stride=[2, 1, 2], padding=[0, 1, 1])

with open("tests/data/conv.json", "w") as file:
    file.write("[" + ",\n".join(json.dumps(c) for c in cases) + "]\n")
