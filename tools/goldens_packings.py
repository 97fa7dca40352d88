#!/usr/bin/env python3
"""Writes tests/data/packings.json: packed weights and their values, GGUF's blocks by gguf's NumPy code, MLX's
forms by mlx, codes with floats as scales by torch. Bytes are hex; NaN and infinity among the values only where
codes of mxfp4, mxfp8 and fp8 give them. Run from the root of the repository; needs gguf, mlx and torch (pip install gguf
'mlx[cpu]' torch)."""
import json

import gguf
import mlx.core as mx
import numpy as np
import torch

rng = np.random.default_rng(14)
# Where blocks keep their half-precision scales; those without have bytes of scale, of which all are numbers.
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108],
          "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0], "tq1_0": [52], "tq2_0": [64],
          "ggml_mxfp4": [], "ggml_nvfp4": []}
SPECIAL = [0.0, -0.0, 6e-8, -3.1e-5, 6.1e-5, 65504.0]
cases = []


def scales(shape):
    """Of either sign, some zero, denormal or largest."""
    values = rng.standard_normal(shape).astype(np.float32) * np.float32(2.0) ** rng.integers(-9, 3, shape)
    flat = values.reshape(-1)
    for i in range(1, flat.size, 2):
        flat[i] = SPECIAL[i // 2 % len(SPECIAL)] if i // 2 % 4 < 2 else flat[i]
    return values


def case(name, planes, values, scale_dtype=None):
    case = {"packing": name, "planes": [p.tobytes().hex() for p in planes], "in": int(values.shape[1]),
            "values": values.astype(np.float32).tobytes().hex()}
    if scale_dtype:
        case["scales"] = scale_dtype
    cases.append(case)


for name, halves in HALVES.items():
    kind = gguf.GGMLQuantizationType[name.removeprefix("ggml_").upper()]
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    count = max(4, 384 // weights)  # blocks in two rows
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = scales(count).astype(np.float16).reshape(-1, 1).view(np.uint8)
    data = blocks.reshape(2, -1)
    with np.errstate(all="ignore"):
        case(name, [data], gguf.dequantize(data, kind))


def floats(a):
    return np.array(a.astype(mx.float32))


def raw(a):
    return np.array(a.view(mx.uint16) if a.dtype.size == 2 else a)


for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        for dtype in (mx.float16, mx.bfloat16, mx.float32):
            width = group * (2 if group < 128 else 1)
            codes = mx.array(rng.integers(0, 2**32, (2, width * bits // 32), dtype=np.uint32))
            s, b = (mx.array(scales((2, width // group))).astype(dtype) for _ in range(2))
            values = mx.dequantize(codes, s, b, group_size=group, bits=bits)
            case(f"affine_{bits}_{group}", [np.array(codes), raw(s), raw(b)], floats(values),
                 str(dtype).rsplit(".", 1)[-1])
for mode, bits, group in (("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)):
    codes = mx.array(rng.integers(0, 2**32, (2, 16 * group * bits // 32), dtype=np.uint32))
    s = rng.integers(0, 256, (2, 16), dtype=np.uint8)
    s[:, :4] = [0, 1, 254, 255]
    values = mx.dequantize(codes, mx.array(s), group_size=group, bits=bits, mode=mode, dtype=mx.float32)
    case(mode, [np.array(codes), s], floats(values))

rng = np.random.default_rng(15)
FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
for kind, groups in (("fp8", (32, 64, 128)), ("int8", (32, 64, 128)), ("fp4", (16,))):
    for group in groups:
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            codes = torch.from_numpy(rng.integers(0, 256, (2, 256), dtype=np.uint8))
            if kind == "fp8":
                codes[:, :4] = torch.tensor([0, 1, 126, 127])
                values = codes.view(torch.float8_e4m3fn).float()
            elif kind == "int8":
                values = codes.view(torch.int8).float()
            else:
                nibbles = torch.stack([codes & 15, codes >> 4], -1).reshape(2, -1)
                values = FP4[(nibbles & 7).long()] * torch.where(nibbles > 7, -1.0, 1.0)
            s = torch.from_numpy(scales((2, values.shape[1] // group))).to(dtype)
            raw_scales = s.numpy() if dtype != torch.bfloat16 else s.view(torch.int16).numpy()
            values = values * s.float().repeat_interleave(group, 1)
            case(f"{kind}_{group}", [codes.numpy(), raw_scales], values.numpy(), str(dtype).rsplit(".", 1)[-1])

with open("tests/data/packings.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
