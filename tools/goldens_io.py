#!/usr/bin/env python3
"""Writes tests/data/io: small files as NumPy and safetensors write them (numpy, safetensors)."""
import pathlib

import numpy as np
from numpy.lib import format as npy
from safetensors import TensorSpec, serialize

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/data/io"

FLOATS = [-0.0, 1.5, -2.25, np.inf, -np.inf, np.nan]  # exact in every float type
BFLOAT16 = [0x8000, 0x3FC0, 0xC010, 0x7F80, 0xFF80, 0x7FC0]  # the same values
INTS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()


def values():
    """One (2, 3) array for each type NumPy has."""
    arrays = {"bool": np.array([True, False, True, True, False, False])}
    for name in INTS:
        info = np.iinfo(name)
        arrays[name] = np.array([0, 1, 2, 100, info.max, info.min], name)
    for name in ["float16", "float32", "float64"]:
        arrays[name] = np.array(FLOATS, name)
    arrays["complex64"] = np.array([1 + 2j, -0.5j, 3, -1 - 1j, 0, 1e30], "complex64")
    return {name: a.reshape(2, 3) for name, a in arrays.items()}


def safetensors_bytes(arrays, metadata):
    specs = []
    for name, a in arrays.items():
        kind = "bfloat16" if name == "bfloat16" else str(a.dtype)
        specs.append((name, TensorSpec(dtype=kind, shape=list(a.shape), data_ptr=a.ctypes.data,
                                       data_len=a.nbytes)))
    return bytes(serialize(dict(specs), metadata=metadata))


def write_npy(name, array, version=None):
    with open(FOLDER / name, "wb") as f:
        npy.write_array(f, array, version=version)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = values()
    np.savez(FOLDER / "all.npz", **arrays)
    np.savez_compressed(FOLDER / "compressed.npz", ramp=np.arange(1000, dtype="int32"))

    tensors = dict(arrays, bfloat16=np.array(BFLOAT16, "uint16").reshape(2, 3))
    tensors["empty"] = np.zeros((0, 3), "float32")
    tensors["scalar"] = np.array(7, "int32")
    tensors["a \"quoted\" n\u00e4me"] = np.array([1.0], "float32")
    (FOLDER / "all.safetensors").write_bytes(safetensors_bytes(tensors, {"format": "pt"}))

    ramp = np.arange(6, dtype="int32").reshape(2, 3)
    write_npy("version1.npy", ramp)
    write_npy("version2.npy", ramp, (2, 0))
    write_npy("version3.npy", ramp, (3, 0))
    write_npy("scalar.npy", np.array(2.5))
    write_npy("empty.npy", np.zeros((3, 0, 2), "float32"))
    write_npy("fortran.npy", np.asfortranarray(np.arange(24, dtype="float32").reshape(2, 3, 4)))
    for name in ["i2", "u4", "i8", "f2", "f4", "f8", "c8"]:
        write_npy(f"big_endian_{name}.npy", np.arange(6).reshape(2, 3).astype(">" + name))
    write_npy("complex128.npy", np.zeros(2, "complex128"))
    write_npy("structured.npy", np.zeros(2, [("x", "f4"), ("y", "i4")]))
    write_npy("object.npy", np.array([1, "a"], object))
    write_npy("void.npy", np.zeros(2, "V2"))  # what ml_dtypes' bfloat16 becomes


if __name__ == "__main__":
    main()
