#!/usr/bin/env python3
"""Tiny quantized checkpoints as MLX's folders hold them, by mlx-lm's own classes in float32: for
tests/llm/mlx_folder_test.cpp.

    pip install mlx[cpu] mlx-lm
    python3 tools/tiny_mlx.py                    # all of CASES, into tests/data/mlx
    python3 tools/tiny_mlx.py --keep /tmp/tiny   # and the folders themselves, to try by hand

No weight is committed: values are those of tools/tiny_values.py, and codes follow from them.
tests/data/mlx/NAME holds config.json and tiny.json: the tensors as the folder names them, before
they are quantized, and for each prompt the logits at some positions and the greedy continuation.
"""
import argparse
import json
import math
import pathlib
import traceback

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

from tiny_values import values

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH, NEW, POSITIONS = 40, 16, [13, 39]
MARGIN = 2e-3
AFFINE = dict(group_size=32, bits=4, mode="affine")
MXFP4 = dict(group_size=32, bits=4, mode="mxfp4")
# Sizes that are whole groups, in place of those of tests/data/models.
SIZES = dict(hidden_size=64, intermediate_size=96, moe_intermediate_size=32, shared_expert_intermediate_size=64,
             head_dim=32, q_lora_rank=32, kv_lora_rank=32, qk_nope_head_dim=32, v_head_dim=32,
             linear_key_head_dim=16, linear_value_head_dim=16, shared_intermediate_size=32,
             n_embd=64, n_inner=96, query_pre_attn_scalar=32)
NULL = "null"
NEW_ROPE = dict(rope_parameters=None, rope_theta=7000.0)  # mlx-lm reads the older form

# name, of tests/data/models too: (what differs, quantization, exceptions: end of the path -> its own settings)
CASES = {
    "llama": (dict(attention_bias=False, mlp_bias=False, **NEW_ROPE), AFFINE, {}),
    "llama_linear": ({}, dict(AFFINE, group_size=64, bits=8),
                     {"down_proj": dict(group_size=32, bits=3), "v_proj": False}),  # tied
    "qwen3": (dict(sliding_window=None, use_sliding_window=False, layer_types=None, tie_word_embeddings=True, attention_bias=False, **NEW_ROPE), MXFP4, {}),
    "gemma3_text": (dict(tie_word_embeddings=False), dict(AFFINE, bits=6), {}),
    "qwen3_moe": (dict(num_experts=6, **NEW_ROPE), dict(AFFINE, bits=5), {"mlp.gate": dict(group_size=64, bits=8)}),
    "phi3": (dict(sliding_window=None, rope_parameters=None, rope_theta=9000.0, rope_scaling=None, partial_rotary_factor=0.5, head_dim=None,
                  original_max_position_embeddings=128), AFFINE, {}),
    "mixtral": (dict(sliding_window=None, head_dim=None, **NEW_ROPE), AFFINE, {}),
    "gpt_oss": (dict(rope_theta=7000.0, rope_scaling=None, rope_parameters=None), MXFP4, {}),
    "deepseek_v2": (dict(head_dim=None), AFFINE, {}),
    "deepseek_v3": (dict(head_dim=None, **NEW_ROPE), AFFINE, {}),
    "glm4_moe": (dict(rope_scaling=NULL, partial_rotary_factor=0.5, **NEW_ROPE), dict(AFFINE, bits=3), {}),
    "glm4_moe_lite": (dict(head_dim=None, **NEW_ROPE), AFFINE, {}),
    "gemma2": (dict(sliding_window=4096, **NEW_ROPE), AFFINE, {}),
    "gemma4_text": (dict(hidden_size_per_layer_input=32), AFFINE, {}),
    "olmo2": (NEW_ROPE, AFFINE, {}),
    "olmo3": (NEW_ROPE, AFFINE, {}),
    "cohere2": (dict(head_dim=16, **NEW_ROPE), AFFINE, {}),
    "starcoder2": (dict(sliding_window=None, **NEW_ROPE), AFFINE, {}),
    "stablelm": (dict(partial_rotary_factor=0.5, **NEW_ROPE), AFFINE, {}),
    "smollm3": (NEW_ROPE, AFFINE, {}),
    "granite": (NEW_ROPE, AFFINE, {}),
    "exaone4": (dict(head_dim=16, rope_scaling=NULL, sliding_window_pattern="LG", layer_types=["sliding_attention", "full_attention"] * 2, **NEW_ROPE), AFFINE, {}),
    "lfm2": (dict(block_dim=64, block_ff_dim=96, conv_dim=64, block_auto_adjust_ff_dim=False, **NEW_ROPE), AFFINE, {}),
    "lfm2_moe": (NEW_ROPE, AFFINE, {}),
    "ernie4_5": (NEW_ROPE, AFFINE, {}),
    "hunyuan_v1_dense": (dict(rope_parameters=None, rope_theta=7000.0), AFFINE, {}),
    "seed_oss": (NEW_ROPE, AFFINE, {}),
    "qwen2": (dict(rope_scaling=None, sliding_window=None, use_sliding_window=False), AFFINE, {}),
    "qwen3_next": ({}, AFFINE, {}),
    "mistral3": (dict(tie_word_embeddings=False), AFFINE, {}),
    "glm4": (dict(partial_rotary_factor=0.5, **NEW_ROPE), AFFINE, {}),
    "ministral3": (dict(tie_word_embeddings=False), AFFINE, {}),
}


def sized(config, differs):
    """The configuration with sizes of whole groups, in a nested text_config too."""
    for part in [config] + ([config["text_config"]] if "text_config" in config else []):
        for key, value in SIZES.items():
            if part.get(key) is not None:
                part[key] = value
        for key, value in differs.items():
            part.pop(key, None)
            if value is not None:
                part[key] = None if value == NULL else value
    return config


def spread(name, tensor, model_type):
    if "A_log" in name:
        return 0.0, 1.0
    if tensor.ndim == 1:
        return (0.0 if "gemma" in model_type else 1.0), 0.3
    scale = 1.7 / math.sqrt(tensor.shape[-1])
    if "embed" in name:
        scale = 1.0
    if "mlp.gate." in name:
        scale *= 2
    return 0.0, float(f"{scale:.4g}")


def run(model, ids):
    return np.array(model(mx.array([ids]))[0].astype(mx.float32))


def attempt(name, salt, keep):
    differs, quantization, exceptions = CASES[name]
    config = sized(json.loads((ROOT / "tests/data/models" / name / "config.json").read_text()), differs)
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    tensors = {key: [list(p.shape), *spread(key, p, config["model_type"])]
               for key, p in tree_flatten(model.parameters())}
    model.load_weights([(key, mx.array(values(key, math.prod(shape), center, scale, salt).reshape(shape)))
                        for key, (shape, center, scale) in tensors.items()])
    settings, packed = dict(quantization), {}

    def how(path, module):
        if not hasattr(module, "to_quantized"):
            return False
        for end, own in exceptions.items():
            if path.endswith(end):
                settings[path] = own
                packed[path] = own and dict(AFFINE, **own)
                return own
        packed[path] = quantization
        return True

    nn.quantize(model, group_size=quantization["group_size"], bits=quantization["bits"], mode=quantization["mode"],
                class_predicate=how)
    config["quantization"] = config["quantization_config"] = settings
    rng = np.random.default_rng(salt)
    prompts = []
    for _ in range(2):
        ids = [int(i) for i in rng.integers(3, 131, LENGTH)]
        logits, greedy, margin = run(model, ids), [], 1.0
        now = list(ids)
        for _ in range(NEW):
            last = run(model, now)[-1]
            best = np.sort(last)[-2:]
            margin = min(margin, float(best[1] - best[0]))
            greedy.append(int(last.argmax()))
            now.append(greedy[-1])
        if margin < MARGIN:
            return False
        prompts.append(dict(ids=ids, greedy=greedy, logits=[[float(f"{v:.7g}") for v in logits[p]] for p in POSITIONS]))
    for key, tensor in tensors.items():
        how_packed = packed.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
        tensor.append(how_packed or None)
    out = ROOT / "tests/data/mlx" / name
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (out / "tiny.json").write_text(json.dumps(dict(salt=salt, positions=POSITIONS, tensors=tensors, prompts=prompts)) + "\n")
    if keep:
        folder = pathlib.Path(keep) / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--keep")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)
    for name in args.names or CASES:
        try:
            salt = next(salt for salt in range(1, 200) if attempt(name, salt, args.keep))
        except Exception:  # the next one may do
            print(name, traceback.format_exc(limit=-1).splitlines()[-1])
            continue
        print(name, "salt", salt)


if __name__ == "__main__":
    main()
