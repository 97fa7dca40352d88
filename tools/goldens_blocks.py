#!/usr/bin/env python3
"""What llama.cpp makes of weights: for tests/ops/blocks_test.cpp and tests/llm/gguf_out_test.cpp.

    python3 tools/goldens_blocks.py BIN      # llama.cpp's build/bin: libggml-base.so, llama-quantize

Writes tests/data/blocks.json (rows of floats and the blocks that ggml packs them into, with and without importance;
bytes in hexadecimal) and tests/data/gguf/mixtures.json (which tensor of small models gets which type in each mixture,
and the SHA-256 of whole files). Where gguf's NumPy code packs a type too, it must agree. Needs gguf (pip install gguf).
"""
import ctypes
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

BIN = pathlib.Path(sys.argv[1]).resolve()
DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
ggml = ctypes.CDLL(str(BIN / "libggml-base.so"))
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
floats = ctypes.POINTER(ctypes.c_float)

TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4".split()
NAMES = {"MXFP4": "ggml_mxfp4", "NVFP4": "ggml_nvfp4"}
WIDTH = 512


def rows():
    """What is easy to get wrong: zeros, constants, one sign, ties, tiny and large ones, outliers."""
    rng = np.random.default_rng(14)
    w = rng.standard_normal((8, WIDTH)).astype(np.float32)
    w[0] *= 0.02
    w[1, :256] *= 1e-3
    w[1, 256:] = 0
    w[2] = np.abs(w[2]) * 0.1
    w[3] = -np.abs(w[3]) * 30
    w[4] = np.round(w[4] * 4) / 8
    w[5, ::37] *= 100
    w[6] = 0.25
    w[6, 300:] *= -1
    w[7] *= np.float32(2.0) ** rng.integers(-30, 12, WIDTH).astype(np.float32)
    importance = (rng.standard_normal(WIDTH) ** 2).astype(np.float32)
    importance[:40] = 0
    return np.ascontiguousarray(w), importance


def packed(kind, w, importance):
    out = np.zeros(w.size * 2, dtype=np.uint8)
    size = ggml.ggml_quantize_chunk(ctypes.c_int(kind), w.ctypes.data_as(floats), out.ctypes.data_as(ctypes.c_void_p),
                                    ctypes.c_int64(0), ctypes.c_int64(w.shape[0]), ctypes.c_int64(w.shape[1]),
                                    importance.ctypes.data_as(floats) if importance is not None else None)
    return out[:size]


def blocks():
    w, importance = rows()
    cases = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        plain = packed(kind, w, None)
        try:
            with np.errstate(all="ignore"):
                same = np.array_equal(gguf.quantize(w, kind).reshape(-1), plain)
            assert same, f"gguf and ggml differ: {name}"
        except NotImplementedError:
            pass
        cases[NAMES.get(name, name.lower())] = [plain.tobytes().hex(), packed(kind, w, importance).tobytes().hex()]
    return {"width": WIDTH, "rows": w.tobytes().hex(), "importance": importance.tobytes().hex(), "blocks": cases}


# Shapes of models whose weights are 0: the types depend on nothing else.
MODELS = {
    "llama_gqa": dict(arch="llama", layers=17, heads=8, kv=2, width=256, ffn=512, tied=True),
    "llama_8_experts": dict(arch="llama", layers=9, heads=4, kv=4, width=256, ffn=256, experts=8),
    "llama_4_experts": dict(arch="llama", layers=8, heads=4, kv=4, width=256, ffn=256, experts=4),
    "qwen2_narrow": dict(arch="qwen2", layers=8, heads=4, kv=4, width=96, ffn=160),
    "phi2_joined": dict(arch="phi2", layers=9, heads=4, kv=4, width=256, ffn=512, joined=True),
}


def model_file(path, m):
    out = gguf.GGUFWriter(path, m["arch"])
    width, ffn, layers = m["width"], m["ffn"], m["layers"]
    out.add_block_count(layers)
    out.add_context_length(64)
    out.add_embedding_length(width)
    out.add_feed_forward_length(ffn)
    out.add_head_count(m["heads"])
    out.add_head_count_kv(m["kv"])
    out.add_layer_norm_rms_eps(1e-5)
    out.add_layer_norm_eps(1e-5)
    out.add_rope_dimension_count(width // m["heads"])
    experts = m.get("experts", 0)
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(2)
    out.add_tokenizer_model("none")
    out.add_vocab_size(8)
    out.add_file_type(1)

    def add(name, *shape):
        kind = np.float16 if len(shape) > 1 else np.float32
        out.add_tensor(name, np.zeros(shape, dtype=kind))

    kv_width = width // m["heads"] * m["kv"]
    add("token_embd.weight", 8, width)
    add("output_norm.weight", width)
    if not m.get("tied"):
        add("output.weight", 8, width)
    for i in range(layers):
        b = f"blk.{i}."
        add(b + "attn_norm.weight", width)
        if m.get("joined"):
            add(b + "attn_qkv.weight", width + 2 * kv_width, width)
        else:
            add(b + "attn_q.weight", width, width)
            add(b + "attn_k.weight", kv_width, width)
            add(b + "attn_v.weight", kv_width, width)
        add(b + "attn_output.weight", width, width)
        add(b + "ffn_norm.weight", width)
        if experts:
            add(b + "ffn_gate_inp.weight", experts, width)
            add(b + "ffn_gate_exps.weight", experts, ffn, width)
            add(b + "ffn_up_exps.weight", experts, ffn, width)
            add(b + "ffn_down_exps.weight", experts, width, ffn)
        else:
            if not m.get("joined"):
                add(b + "ffn_gate.weight", ffn, width)
            add(b + "ffn_up.weight", ffn, width)
            add(b + "ffn_down.weight", width, ffn)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


MIXTURES = ("f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k iq4_nl "
            "iq4_xs tq1_0 tq2_0 mxfp4").split()


def quantize(source, to, mixture, *more):
    name = "mxfp4_moe" if mixture == "mxfp4" else mixture
    subprocess.run([BIN / "llama-quantize", "--allow-requantize", *more, source, to, name, "1"], check=True,
                   capture_output=True)


def imatrix_file(path, source):
    out = gguf.GGUFWriter(path, "none")
    out.data_alignment = 32
    out.add_string("general.type", "imatrix")
    out.add_array("imatrix.datasets", ["a text"])
    out.add_uint32("imatrix.chunk_count", 1)
    out.add_uint32("imatrix.chunk_size", 64)
    for t in gguf.GGUFReader(source).tensors:
        if len(t.shape) < 2 or "blk." not in t.name or "inp" in t.name:
            continue
        n = int(t.shape[2]) if len(t.shape) > 2 else 1
        out.add_tensor(t.name + ".in_sum2", np.full((n, int(t.shape[0])), 8, dtype=np.float32))
        out.add_tensor(t.name + ".counts", np.full((n, 1), 8, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def mixtures():
    result = {"models": {}, "files": {}}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source, to, imatrix = folder / "in.gguf", folder / "out.gguf", folder / "i.gguf"
        for name, m in MODELS.items():
            model_file(source, m)
            imatrix_file(imatrix, source)
            tensors = [[t.name, [int(n) for n in reversed(t.shape)], int(t.tensor_type)]
                       for t in gguf.GGUFReader(source).tensors]
            types = {}
            for mixture in MIXTURES:
                for key, more in ((mixture, ()), (mixture + "+importance", ("--imatrix", imatrix))):
                    quantize(source, to, mixture, *more)
                    of = {t.name: int(t.tensor_type) for t in gguf.GGUFReader(to).tensors}
                    types[key] = " ".join(str(of[t[0]]) for t in tensors)
            for key in [k for k in types if "+" in k and types[k] == types[k.split("+")[0]]]:
                del types[key]  # importance changes nothing
            result["models"][name] = dict(architecture=m["arch"], layers=m["layers"], heads=m["heads"], kv_heads=m["kv"],
                                          experts=m.get("experts", 0), tensors=tensors, types=types)
        for mixture in MIXTURES:
            quantize(DATA / "gguf/tiny.gguf", to, mixture)
            result["files"][mixture] = hashlib.sha256(to.read_bytes()).hexdigest()
    return result


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


write(DATA / "blocks.json", blocks())
write(DATA / "gguf/mixtures.json", mixtures())
