#!/usr/bin/env python3
"""Tiny checkpoints whose weights are packed as FP8, compressed-tensors, AWQ and GPTQ have them, by transformers' own
classes in float32 on the dequantized weights: for tests/llm/packed_folder_test.cpp.

    pip install torch transformers safetensors compressed-tensors
    python3 tools/tiny_packed.py                    # all of CASES, into tests/data/packed
    python3 tools/tiny_packed.py --keep /tmp/tiny   # and the folders themselves, to try by hand

No weight is committed: codes, scales and zeros are random, by the formula of tools/tiny_values.py, which
tests/llm/packed_folder_test.cpp has too. tests/data/packed/NAME holds config.json and tiny.json: the tensors as the
folder names them, and for each prompt the logits at some positions and the greedy continuation. Codes are unpacked by
compressed-tensors' functions; AWQ's and GPTQ's as their packers, autoawq and auto_gptq, lay them out.
"""
import argparse
import json
import math
import pathlib
import re

import numpy as np
import torch
import transformers
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from safetensors.torch import load_file, save_file

from tiny_models import BASE, spread
from tiny_values import hashes, values

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH, NEW, POSITIONS, MARGIN = 40, 12, [13, 39], 2e-3
SIZES = dict(BASE, hidden_size=128, intermediate_size=192, num_hidden_layers=2, head_dim=32)
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, norm_topk_prob=True)
MLA = dict(q_lora_rank=64, kv_lora_rank=64, qk_rope_head_dim=32, qk_nope_head_dim=32, v_head_dim=32, num_key_value_heads=4,
           head_dim=None, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, n_shared_experts=1, n_group=2,
           topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.7, first_k_dense_replace=1)
FLOATS = dict(f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16)
BYTES = dict(u8=np.uint8, i8=np.int8, e4m3=np.uint8, e8m0=np.uint8)


def tensor_of(name, spec, salt):
    """[shape, kind, ...]: floats around a center; random words; random bytes & mask + least; given numbers."""
    shape, kind, *rest = spec
    count = math.prod(shape)
    if kind in FLOATS:
        return torch.from_numpy(values(name, count, *rest, salt).reshape(shape)).to(FLOATS[kind])
    if rest and rest[0] == "given":
        return torch.tensor(rest[1], dtype=dict(i32=torch.int32, i64=torch.int64)[kind]).reshape(shape)
    bits = hashes(name, count, salt)
    if kind == "i32":
        return torch.from_numpy((bits >> np.uint64(32)).astype(np.uint32).view(np.int32).reshape(shape))
    mask, least = rest
    byte = (((bits >> np.uint64(56)).astype(np.uint32) & mask) + least).astype(np.uint8)
    tensor = torch.from_numpy(byte.reshape(shape))
    return tensor.view(dict(u8=torch.uint8, i8=torch.int8, e4m3=torch.float8_e4m3fn, e8m0=torch.float8_e8m0fnu)[kind])


def around(rms, inputs):
    """Center and half width of scales for which codes of that spread make weights of about 1 / sqrt(inputs)."""
    middle = 1 / (rms * math.sqrt(inputs))
    return float(f"{middle:.4g}"), float(f"{middle / 2:.4g}")


def pieces(n, each):
    return -(-n // each)


def spread_blocks(scales, rows, columns, out, inputs):
    return scales.float().repeat_interleave(rows, 0)[:out].repeat_interleave(columns, 1)[:, :inputs]


def bit_string(words, bits, count):
    """Codes of a row of words, as one little-endian string of bits: numpy uint32 (..., words)."""
    at = np.arange(count) * bits
    both = np.concatenate([words, np.zeros_like(words[..., :1])], -1).astype(np.uint64)
    pair = both[..., at // 32] | both[..., at // 32 + 1] << np.uint64(32)
    return (pair >> (at % 32).astype(np.uint64) & np.uint64(2**bits - 1)).astype(np.int64)


# Each makes the tensors of a module of (out, inputs) by what they are called, and how these become the weight.


def fp8(block=None, scale=".weight_scale_inv", dtype="f32", form=None, more=None):
    def make(out, inputs):
        rows, columns = block or (out, inputs)
        shape = [pieces(out, rows), pieces(inputs, columns)] if block else [] if form != "rows" else [out, 1]
        if form == "rows":
            rows, columns = 1, inputs
        middle = around(0.45, inputs)
        tensors = {".weight": [[out, inputs], "e4m3", 0xBF, 0], scale: [shape, dtype, *middle]}
        if dtype == "e8m0":
            tensors[scale] = [shape, dtype, 3, 121]
        tensors |= {name: [[1], "f32", 1.0, 0.5] for name in more or []}

        def weight(t):
            scales = t[scale].float().reshape(pieces(out, rows), -1)
            return t[".weight"].float() * spread_blocks(scales, rows, columns, out, inputs)
        return tensors, weight
    return make


def pack_quantized(bits, group=None, symmetric=True, dtype="bf16", order=False):
    def make(out, inputs):
        each = group or inputs
        shape = [out, inputs // each]
        tensors = {".weight_packed": [[out, inputs * bits // 32], "i32"],
                   ".weight_scale": [shape, dtype, *around(2**bits / 3.4, inputs)],
                   ".weight_shape": [[2], "i64", "given", [out, inputs]]}
        if not symmetric:
            tensors[".weight_zero_point"] = [[pieces(out * bits, 32), shape[1]], "i32"]
        if order:
            tensors[".weight_g_idx"] = [[inputs], "i32", "given", [i * 7 % shape[1] for i in range(inputs)]]

        def weight(t):
            codes = unpack_from_int32(t[".weight_packed"], bits, torch.Size([out, inputs])).float()
            place = t[".weight_g_idx"].long() if order else torch.arange(inputs) // each
            zeros = 0
            if not symmetric:
                zeros = unpack_from_int32(t[".weight_zero_point"], bits, torch.Size(shape), packed_dim=0).float()[:, place]
            return (codes - zeros) * t[".weight_scale"].float()[:, place]
        return tensors, weight
    return make


def int_quantized(symmetric=True, form="channel"):
    def make(out, inputs):
        shape = [out, 1] if form == "channel" else [1]
        tensors = {".weight": [[out, inputs], "i8", 0xFF, 0], ".weight_scale": [shape, "f32", *around(75, inputs)]}
        if not symmetric:
            tensors[".weight_zero_point"] = [shape, "i8", 0x1F, 0]

        def weight(t):
            zeros = 0 if symmetric else t[".weight_zero_point"].float()
            return (t[".weight"].float() - zeros) * t[".weight_scale"].float()
        return tensors, weight
    return make


def fp4(group):
    def make(out, inputs):
        scales = [[out, inputs // 16], "e4m3", 0x0F, 0x38] if group == 16 else [[out, inputs // 32], "u8", 3, 122]
        tensors = {".weight_packed": [[out, inputs // 2], "u8", 0xFF, 0], ".weight_scale": scales}
        if group == 16:
            tensors[".weight_global_scale"] = [[1], "f32", 3 * math.sqrt(inputs), 0.7]
            tensors[".input_global_scale"] = [[1], "f32", 3.0, 0.7]

        def weight(t):
            codes = unpack_fp4_from_uint8(t[".weight_packed"], out, inputs, dtype=torch.float32)
            scale = t[".weight_scale"]
            scale = scale.float() / t[".weight_global_scale"] if group == 16 else torch.exp2(scale.float() - 127)
            return codes * scale.repeat_interleave(group, 1)
        return tensors, weight
    return make


AWQ_COLUMNS = [0, 4, 1, 5, 2, 6, 3, 7]  # autoawq's AWQ_REVERSE_ORDER


def awq(group):
    def make(out, inputs):
        shape = [pieces(inputs, group), out // 8]
        tensors = {".qweight": [[inputs, out // 8], "i32"], ".qzeros": [shape, "i32"],
                   ".scales": [[shape[0], out], "f16", *around(6.5, inputs)]}

        def codes(t):
            word = t.numpy().view(np.uint32)[:, :, None] >> np.arange(0, 32, 4, dtype=np.uint32) & 15
            return torch.from_numpy(word[:, :, AWQ_COLUMNS].reshape(len(word), -1).astype(np.float32))

        def weight(t):
            place = torch.arange(inputs) // group
            return ((codes(t[".qweight"]) - codes(t[".qzeros"])[place]) * t[".scales"].float()[place]).T
        return tensors, weight
    return make


def gptq(bits, group, symmetric=False, second=False, order=False):
    def make(out, inputs):
        groups = pieces(inputs, group)
        zero = [[groups, out * bits // 32], "i32"]
        if symmetric:
            half = 2 ** (bits - 1) - (0 if second else 1)
            word = sum(half << bits * k for k in range(32 // bits))
            zero = [zero[0], "i32", "given", [word - 2**32 * (word >> 31)] * math.prod(zero[0])]
        places = [i * 5 % groups if order else i // group for i in range(inputs)]
        tensors = {".qweight": [[inputs * bits // 32, out], "i32"], ".qzeros": zero,
                   ".scales": [[groups, out], "f16", *around(2**bits / 2.6, inputs)],
                   ".g_idx": [[inputs], "i32", "given", places]}

        def weight(t):
            codes = bit_string(t[".qweight"].numpy().view(np.uint32).T, bits, inputs)  # (out, inputs)
            zeros = bit_string(t[".qzeros"].numpy().view(np.uint32), bits, out)
            if not second:
                zeros = zeros + 1 & 2**bits - 1
            place = t[".g_idx"].long()
            return (torch.from_numpy(codes).float() - torch.from_numpy(zeros).float().T[:, place]) * t[".scales"].float().T[:, place]
        return tensors, weight
    return make


def compressed(form, *groups, ignore=("lm_head",)):
    """Settings of groups (targets, weights)."""
    return dict(quant_method="compressed-tensors", format=form, ignore=list(ignore), kv_cache_scheme=None,
                quantization_status="compressed", config_groups={
                    f"group_{i}": dict(targets=targets, input_activations=None, output_activations=None, weights=weights)
                    for i, (targets, weights) in enumerate(groups)})


def weights(bits, strategy, **more):
    return dict(num_bits=bits, type="int", symmetric=True, strategy=strategy, group_size=None, dynamic=False, observer="minmax",
                actorder=None, block_structure=None) | more


# name: (config class, what differs from SIZES, quantization_config, [(modules, how)]; the others stay plain)
ALL = ".*"
CASES = {
    "fp8_block": ("LlamaConfig", dict(attention_bias=True), dict(
        quant_method="fp8", activation_scheme="dynamic", fmt="e4m3", weight_block_size=[128, 128],
        modules_to_not_convert=["lm_head", "model.layers.1.mlp.down_proj"]), [(r".*\.1\.mlp\.down", None), (ALL, fp8((128, 128)))]),
    "fp8_tensor": ("Qwen3Config", dict(tie_word_embeddings=True), dict(
        quant_method="fp8", activation_scheme="static", weight_block_size=None),
        [(ALL, fp8(dtype="bf16", more=[".activation_scale"]))]),
    "fp8_experts": ("Qwen3MoeConfig", MOE, dict(
        quant_method="fp8", activation_scheme="dynamic", weight_block_size=[32, 64],
        modules_to_not_convert=["lm_head", r"model.layers.\d+.mlp.gate"]), [(ALL, fp8((32, 64), dtype="bf16"))]),
    "fp8_latent": ("DeepseekV3Config", MLA, dict(
        quant_method="fp8", activation_scheme="dynamic", fmt="e4m3", scale_fmt="ue8m0", weight_block_size=[32, 32]),
        [(ALL, fp8((32, 32), dtype="e8m0"))]),
    "fp8_rows": ("LlamaConfig", dict(tie_word_embeddings=True), dict(
        quant_method="fbgemm_fp8", activation_scale_ub=1200.0, modules_to_not_convert=["lm_head"]),
        [(ALL, fp8(scale=".weight_scale", form="rows", more=[".input_scale"]))]),
    "ct_int4": ("LlamaConfig", dict(attention_bias=True), compressed(
        "pack-quantized", (["re:.*down_proj"], weights(8, "channel", symmetric=False)), (["Linear"], weights(4, "group", group_size=64)),
        ignore=["lm_head", "re:.*layers.0.self_attn.k_proj"]),
        [(r".*down_proj", pack_quantized(8, symmetric=False, dtype="f32")), (r".*0\.self_attn\.k_proj", None),
         (ALL, pack_quantized(4, 64))]),
    "ct_int4_experts": ("MixtralConfig", dict(num_local_experts=4, num_experts_per_tok=2), compressed(
        "pack-quantized", (["Linear"], weights(4, "group", group_size=32, symmetric=False)), ignore=["lm_head", "re:.*gate"]),
        [(ALL, pack_quantized(4, 32, symmetric=False, dtype="f16"))]),
    "ct_int3_order": ("Qwen3Config", {}, compressed(
        "pack-quantized", (["Linear"], weights(3, "group", group_size=32, actorder="group"))),
        [(ALL, pack_quantized(3, 32, order=True))]),
    "ct_int8": ("Qwen2Config", {}, compressed(
        "int-quantized", (["re:.*up_proj", "re:.*o_proj"], weights(8, "channel", symmetric=False)), (["Linear"], weights(8, "channel"))),
        [(r".*(up|\bo)_proj", int_quantized(symmetric=False)), (ALL, int_quantized())]),
    "ct_fp8": ("LlamaConfig", {}, compressed(
        "float-quantized", (["re:.*mlp.*"], weights(8, "block", type="float", block_structure=[64, 64])),
        (["re:.*q_proj"], weights(8, "tensor", type="float")), (["Linear"], weights(8, "channel", type="float"))),
        [(r".*mlp", fp8((64, 64), scale=".weight_scale", dtype="bf16")), (r".*q_proj", fp8(scale=".weight_scale")),
         (ALL, fp8(scale=".weight_scale", form="rows", dtype="bf16"))]),
    "ct_nvfp4": ("Qwen3Config", {}, compressed(
        "nvfp4-pack-quantized", (["Linear"], weights(4, "tensor_group", type="float", group_size=16))), [(ALL, fp4(16))]),
    "ct_mxfp4": ("Qwen3MoeConfig", MOE, compressed(
        "mxfp4-pack-quantized", (["Linear"], weights(4, "group", type="float", group_size=32)), ignore=["lm_head", "re:.*gate$"]),
        [(ALL, fp4(32))]),
    "awq": ("Qwen2Config", dict(tie_word_embeddings=True), dict(
        quant_method="awq", bits=4, group_size=64, zero_point=True, version="gemm", modules_to_not_convert=["o_proj"]),
        [(r".*o_proj", None), (ALL, awq(64))]),
    "awq_experts": ("MixtralConfig", dict(num_local_experts=4, num_experts_per_tok=2), dict(
        quant_method="awq", bits=4, group_size=128, zero_point=True, version="gemm", modules_to_not_convert=["gate"]), [(ALL, awq(128))]),
    "gptq": ("LlamaConfig", {}, dict(
        quant_method="gptq", bits=4, group_size=128, sym=True, desc_act=False, checkpoint_format="gptq"),
        [(ALL, gptq(4, 128, symmetric=True))]),
    "gptq_3": ("Qwen2Config", {}, dict(
        quant_method="gptq", bits=3, group_size=32, sym=False, desc_act=False, damp_percent=0.01), [(ALL, gptq(3, 32))]),
    "gptq_8": ("Qwen3MoeConfig", MOE, dict(
        quant_method="gptq", bits=8, group_size=64, sym=False, desc_act=False, checkpoint_format="gptq_v2",
        meta=dict(quantizer=["gptqmodel:2.0.0"])), [(ALL, gptq(8, 64, second=True))]),
    "gptq_order": ("LlamaConfig", {}, dict(
        quant_method="gptq", bits=2, group_size=64, sym=False, desc_act=True, static_groups=False), [(ALL, gptq(2, 64, order=True))]),
}


def packs(name, tensor):
    return tensor.ndim == 2 and name.endswith((".weight",)) and not re.search(r"embed|lm_head|\.gate\.weight|norm", name)


@torch.no_grad()
def attempt(name, salt, folder, keep):
    kind, differs, settings, rules = CASES[name]
    options = {k: v for k, v in {**SIZES, **differs}.items() if v is not None}
    config = getattr(transformers, kind)(**options, dtype="float32")
    torch.manual_seed(1)
    transformers.AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    made = load_file(folder / "model.safetensors")
    specs, dense, packed = {}, {}, {}
    for key, tensor in sorted(made.items()):
        path = key.removesuffix(".weight")
        how = next((how for pattern, how in rules if re.match(pattern, path)), None) if packs(key, tensor) else None
        if how is None:
            specs[key] = [list(tensor.shape), "f32", *spread(key, tensor.numpy())]
            dense[key] = packed[key] = tensor_of(key, specs[key], salt)
            continue
        parts, weight = how(*tensor.shape)
        specs |= {path + end: spec for end, spec in parts.items()}
        values_of = {end: tensor_of(path + end, spec, salt) for end, spec in parts.items()}
        packed |= {path + end: t for end, t in values_of.items()}
        dense[key] = weight(values_of).contiguous()
        assert list(dense[key].shape) == list(tensor.shape) and dense[key].isfinite().all(), key
    save_file(dense, folder / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = []
    for k in range(2):
        ids = values(f"prompt {k}", LENGTH, 66.5, 63.4, 0).astype(int).tolist()
        whole, logits = list(ids), model(torch.tensor([ids])).logits[0].float()
        assert logits.isfinite().all() and logits.std() > 0.02, logits.std()
        for _ in range(NEW):
            step = model(torch.tensor([whole]), use_cache=False).logits[0, -1].float()
            top = step.topk(2)
            if float((top.values[0] - top.values[1]) / step.abs().max()) < MARGIN:
                return None
            whole.append(int(top.indices[0]))
        prompts.append(dict(ids=ids, greedy=whole[LENGTH:], logits=[[float(f"{v:.7g}") for v in logits[p].tolist()] for p in POSITIONS]))
    config = json.loads((folder / "config.json").read_text()) | dict(quantization_config=settings)
    if keep:
        (keep / name).mkdir(parents=True, exist_ok=True)
        (keep / name / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file({k: v.contiguous() for k, v in packed.items()}, keep / name / "model.safetensors", metadata={"format": "pt"})
    return config, dict(salt=salt, positions=POSITIONS, tensors=specs, prompts=prompts)


def main():
    import tempfile
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=" ".join(CASES))
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in options.names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = next(filter(None, (attempt(name, salt, pathlib.Path(folder), options.keep) for salt in range(1, 40))))
        out = ROOT / "tests/data/packed" / name
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(found[0], indent=1) + "\n")
        (out / "tiny.json").write_text(json.dumps(found[1], separators=(",", ":")) + "\n")
        print(name, "salt", found[1]["salt"], flush=True)


if __name__ == "__main__":
    main()
