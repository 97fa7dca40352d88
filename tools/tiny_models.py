#!/usr/bin/env python3
"""Tiny random checkpoints of every family, by transformers' own classes in float32: for
tests/llm/families_test.cpp.

    python3 tools/tiny_models.py                     # all of CASES, into tests/data/models
    python3 tools/tiny_models.py gemma2 qwen3_next   # only these
    python3 tools/tiny_models.py --keep /tmp/tiny    # and the checkpoints themselves, to try by hand

No weight is committed: element i of a tensor is center + scale * u(name, i), where u is a hash of
the name and i (values() of tools/tiny_values.py, tests/llm/tiny_checkpoint.h there). tests/data/models/NAME holds
config.json and tiny.json: the tensors as the checkpoint names them, and for each prompt the logits
at some positions and the greedy continuation. Everything is random, norms, biases, sinks and
corrections too, since ones and zeros hide faults; windows and original contexts are shorter than
the prompts, and no size follows from another.
"""
import argparse
import json
import math
import pathlib
import shutil
import sys
import tempfile
import traceback

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

from tiny_values import values

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH, NEW, POSITIONS = 40, 24, [0, 13, 28, 39]
MARGIN = 2e-3  # between the two largest logits of each greedy step: less is another try

# What all have unless they say otherwise. head_dim is not hidden / heads.
BASE = dict(vocab_size=131, hidden_size=56, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=20, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
            pad_token_id=0)
NO_HEAD_DIM = dict(hidden_size=80, head_dim=None)  # families whose head_dim is hidden / heads
YARN = dict(rope_type="yarn", rope_theta=5000.0, factor=4.0, original_max_position_embeddings=16)
VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=16,
              patch_size=8)
QWEN_VISION = dict(depth=1, hidden_size=16, intermediate_size=24, num_heads=2, patch_size=8, out_hidden_size=56,
                   num_position_embeddings=16, deepstack_visual_indexes=[0])
DELTA = dict(num_hidden_layers=4, layer_types=["linear_attention", "full_attention"] * 2, linear_num_value_heads=4,
             linear_num_key_heads=2, linear_key_head_dim=12, linear_value_head_dim=10, linear_conv_kernel_dim=4,
             rope_parameters=dict(rope_type="default", rope_theta=7000.0, partial_rotary_factor=0.4))
MOE = dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=24)
SIGMOID_MOE = dict(n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=24, n_shared_experts=2, n_group=4,
                   topk_group=2, norm_topk_prob=True, routed_scaling_factor=1.7, first_k_dense_replace=1)
MLA = dict(q_lora_rank=28, kv_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=12, v_head_dim=10,
           num_key_value_heads=4, head_dim=None)
MLA_YARN = dict(YARN, mscale=0.8, mscale_all_dim=1.2, beta_fast=8, beta_slow=1)

# name: (config class, model class or "", what differs from BASE). A nested text_config is merged with BASE too.
CASES = {
    "phi_norms": ("PhiConfig", "", dict(NO_HEAD_DIM, qk_layernorm=True, partial_rotary_factor=0.5)),
    "phi3": ("Phi3Config", "", dict(
        NO_HEAD_DIM, sliding_window=12, original_max_position_embeddings=16,
        rope_parameters=dict(rope_type="longrope", rope_theta=9000.0, partial_rotary_factor=0.8,
                             original_max_position_embeddings=16,
                             short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
                             long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0]))),
    "phi3_short": ("Phi3Config", "", dict(
        NO_HEAD_DIM, original_max_position_embeddings=64, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="longrope", rope_theta=9000.0, partial_rotary_factor=0.8,
                             original_max_position_embeddings=64,
                             short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
                             long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0]))),
    "llama": ("LlamaConfig", "", dict(
        attention_bias=True, mlp_bias=True,
        rope_parameters=dict(rope_type="llama3", rope_theta=8000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=16))),
    "llama_linear": ("LlamaConfig", "", dict(
        tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", rope_theta=3000.0, factor=4.0))),
    "llama_dynamic": ("LlamaConfig", "", dict(
        num_key_value_heads=1, rope_parameters=dict(rope_type="dynamic", rope_theta=3000.0, factor=2.0))),
    "mistral": ("MistralConfig", "", dict(sliding_window=12)),
    "mistral3": ("Mistral3Config", "Mistral3ForConditionalGeneration", dict(
        text_config=dict(model_type="mistral", sliding_window=None), vision_config=dict(VISION, model_type="pixtral", head_dim=8),
        image_token_index=7, spatial_merge_size=1)),
    "ministral3": ("Mistral3Config", "Mistral3ForConditionalGeneration", dict(
        text_config=dict(model_type="ministral3", sliding_window=None, tie_word_embeddings=False, rope_parameters=dict(
            YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3, beta_fast=8.0, beta_slow=1.0)),
        vision_config=dict(VISION, model_type="pixtral", head_dim=8), image_token_index=7, spatial_merge_size=1)),
    "mixtral": ("MixtralConfig", "", dict(num_local_experts=5, num_experts_per_tok=2, sliding_window=12)),
    "qwen2": ("Qwen2Config", "", dict(NO_HEAD_DIM, use_sliding_window=True, max_window_layers=1, sliding_window=12,
                                      rope_parameters=YARN)),
    "qwen3": ("Qwen3Config", "", dict(attention_bias=True, use_sliding_window=True, max_window_layers=2,
                                      sliding_window=12, tie_word_embeddings=True)),
    "qwen3_vl": ("Qwen3VLConfig", "Qwen3VLForConditionalGeneration", dict(
        text_config=dict(rope_parameters=dict(rope_type="default", rope_theta=5000.0, mrope_section=[4, 3, 3],
                                              mrope_interleaved=True)), vision_config=QWEN_VISION)),
    "qwen3_moe": ("Qwen3MoeConfig", "", dict(MOE, norm_topk_prob=True, mlp_only_layers=[1])),
    "qwen3_moe_plain": ("Qwen3MoeConfig", "", dict(MOE, norm_topk_prob=False, decoder_sparse_step=2,
                                                   tie_word_embeddings=True)),
    "qwen3_next": ("Qwen3NextConfig", "", dict(DELTA, **MOE, shared_expert_intermediate_size=28, norm_topk_prob=True,
                                               mlp_only_layers=[1])),
    "qwen3_5": ("Qwen3_5TextConfig", "Qwen3_5ForCausalLM", dict(DELTA, tie_word_embeddings=True)),
    "qwen3_5_vl": ("Qwen3_5Config", "Qwen3_5ForConditionalGeneration", dict(
        text_config=dict(DELTA, rope_parameters=dict(
            rope_type="default", rope_theta=7000.0, partial_rotary_factor=0.4, mrope_section=[2, 1, 1],
            mrope_interleaved=True)), vision_config=QWEN_VISION)),
    "qwen3_5_moe": ("Qwen3_5MoeTextConfig", "Qwen3_5MoeForCausalLM", dict(
        DELTA, **MOE, shared_expert_intermediate_size=28)),
    "qwen3_5_moe_stacked": ("Qwen3_5MoeTextConfig", "Qwen3_5MoeForCausalLM", dict(
        DELTA, **MOE, shared_expert_intermediate_size=28, tie_word_embeddings=True)),
    "gemma2": ("Gemma2Config", "", dict(num_hidden_layers=4, sliding_window=12, query_pre_attn_scalar=30,
                                        attn_logit_softcapping=5.0, final_logit_softcapping=8.0)),
    "gemma3_text": ("Gemma3TextConfig", "Gemma3ForCausalLM", dict(
        num_hidden_layers=4, sliding_window=12, query_pre_attn_scalar=30,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=50000.0, factor=8.0),
                             sliding_attention=dict(rope_type="default", rope_theta=2000.0)))),
    "gemma3": ("Gemma3Config", "Gemma3ForConditionalGeneration", dict(
        text_config=dict(num_hidden_layers=4, sliding_window=12, query_pre_attn_scalar=30,
                         layer_types=["sliding_attention", "full_attention"] * 2),
        vision_config=VISION, mm_tokens_per_image=4, image_token_index=7)),
    "gemma4_text": ("Gemma4TextConfig", "Gemma4ForCausalLM", dict(
        num_hidden_layers=6, sliding_window=12, global_head_dim=24, num_kv_shared_layers=2,
        use_double_wide_mlp=True, hidden_size_per_layer_input=10, vocab_size_per_layer_input=131,
        layer_types=["sliding_attention", "full_attention"] * 3, final_logit_softcapping=8.0)),
    "gemma4_moe": ("Gemma4TextConfig", "Gemma4ForCausalLM", dict(
        num_hidden_layers=4, sliding_window=12, global_head_dim=24, num_global_key_value_heads=1,
        attention_k_eq_v=True, num_kv_shared_layers=0, use_double_wide_mlp=False, hidden_size_per_layer_input=0,
        enable_moe_block=True, num_experts=6, top_k_experts=3, moe_intermediate_size=24,
        layer_types=["sliding_attention", "full_attention"] * 2, final_logit_softcapping=8.0)),
    "gpt_oss": ("GptOssConfig", "", dict(
        num_hidden_layers=4, sliding_window=12, num_local_experts=5, num_experts_per_tok=2,
        rope_parameters=dict(YARN, truncate=False, beta_fast=8.0, beta_slow=1.0))),
    "olmo2": ("Olmo2Config", "", dict(NO_HEAD_DIM)),
    "olmo3": ("Olmo3Config", "", dict(NO_HEAD_DIM, num_hidden_layers=4, sliding_window=12, rope_parameters=YARN,
                                      layer_types=["sliding_attention", "sliding_attention", "full_attention",
                                                   "sliding_attention"])),
    "smollm3": ("SmolLM3Config", "", dict(NO_HEAD_DIM, num_hidden_layers=4, no_rope_layers=[1, 0, 1, 0],
                                          tie_word_embeddings=True)),
    "granite": ("GraniteConfig", "", dict(
        NO_HEAD_DIM, attention_multiplier=0.1, embedding_multiplier=3.0, residual_multiplier=0.4, logits_scaling=2.0,
        tie_word_embeddings=True)),
    "glm4": ("Glm4Config", "", dict(attention_bias=True, partial_rotary_factor=0.5)),
    "glm4_moe": ("Glm4MoeConfig", "", dict(SIGMOID_MOE, attention_bias=True, use_qk_norm=True,
                                           partial_rotary_factor=0.5)),
    "cohere": ("CohereConfig", "", dict(NO_HEAD_DIM, use_qk_norm=True, logit_scale=0.3)),
    "cohere2": ("Cohere2Config", "", dict(NO_HEAD_DIM, num_hidden_layers=4, sliding_window=12, logit_scale=0.3,
                                          layer_types=["sliding_attention", "full_attention"] * 2)),
    "exaone4": ("Exaone4Config", "", dict(
        NO_HEAD_DIM, num_hidden_layers=4, sliding_window=12, sliding_window_pattern=2,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(rope_type="llama3", rope_theta=8000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=16))),
    "gpt2": ("GPT2Config", "", dict(n_embd=48, n_layer=3, n_head=4, n_positions=128, n_inner=72)),
    "gpt_neox": ("GPTNeoXConfig", "", dict(NO_HEAD_DIM, rotary_pct=0.5, use_parallel_residual=True)),
    "gpt_neox_serial": ("GPTNeoXConfig", "", dict(NO_HEAD_DIM, rotary_pct=0.5, use_parallel_residual=False,
                                                  tie_word_embeddings=True)),
    "starcoder2": ("Starcoder2Config", "", dict(NO_HEAD_DIM, sliding_window=12)),
    "stablelm": ("StableLmConfig", "", dict(NO_HEAD_DIM, use_qkv_bias=True, partial_rotary_factor=0.4)),
    "stablelm_parallel": ("StableLmConfig", "", dict(NO_HEAD_DIM, qk_layernorm=True, use_parallel_residual=True,
                                                     partial_rotary_factor=0.4)),
    "lfm2": ("Lfm2Config", "", dict(NO_HEAD_DIM, num_hidden_layers=4, conv_L_cache=3, block_multiple_of=8,
                                    layer_types=["conv", "full_attention", "conv", "full_attention"])),
    "deepseek_v2": ("DeepseekV2Config", "", dict(SIGMOID_MOE, **dict(MLA, q_lora_rank=None),
                                                 topk_method="group_limited_greedy", rope_parameters=MLA_YARN)),
    "deepseek_v3": ("DeepseekV3Config", "", dict(SIGMOID_MOE, **MLA, rope_parameters=MLA_YARN, rope_interleave=True)),
    # The second round.
    "ernie4_5": ("Ernie4_5Config", "", dict(use_bias=True, tie_word_embeddings=True)),
    "ernie4_5_moe": ("Ernie4_5_MoeConfig", "", dict(
        NO_HEAD_DIM, moe_num_experts=6, moe_k=3, moe_intermediate_size=24, moe_num_shared_experts=2,
        moe_layer_start_index=1, moe_layer_interval=1, moe_layer_end_index=2)),
    "hunyuan_v1_dense": ("HunYuanDenseV1Config", "", dict(
        rope_parameters=dict(rope_type="dynamic", rope_theta=3000.0, factor=1.0, alpha=50.0))),
    "hunyuan_v1_moe": ("HunYuanMoEV1Config", "", dict(
        num_experts=6, moe_topk=3, rope_parameters=dict(rope_type="dynamic", rope_theta=3000.0, factor=1.0,
                                                        alpha=50.0))),
    "../add_a_model": ("HeliumConfig", "", dict(NO_HEAD_DIM, head_dim=20)),  # for tools/prove_additions.sh
    "seed_oss": ("SeedOssConfig", "", dict(attention_bias=True, attention_out_bias=False)),
    "apertus": ("ApertusConfig", "", dict(NO_HEAD_DIM, rope_parameters=dict(
        rope_type="llama3", rope_theta=8000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))),
    "lfm2_moe": ("Lfm2MoeConfig", "", dict(
        NO_HEAD_DIM, num_hidden_layers=4, conv_L_cache=3, layer_types=["conv", "full_attention"] * 2, num_experts=6,
        num_experts_per_tok=3, moe_intermediate_size=24, num_dense_layers=1, use_expert_bias=True,
        routed_scaling_factor=1.3)),
    "glm4_moe_lite": ("Glm4MoeLiteConfig", "", dict(SIGMOID_MOE, **MLA)),
    "mistral4": ("Mistral4Config", "Mistral4ForCausalLM", dict(SIGMOID_MOE, **MLA, rope_parameters=dict(
        MLA_YARN, llama_4_scaling_beta=0.3))),
    "exaone_moe": ("ExaoneMoeConfig", "", dict(
        num_hidden_layers=4, sliding_window=12, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=24,
        num_shared_experts=1, n_group=4, topk_group=2, first_k_dense_replace=1, norm_topk_prob=True,
        layer_types=["sliding_attention", "full_attention"] * 2)),
    "granitemoehybrid": ("GraniteMoeHybridConfig", "", dict(
        NO_HEAD_DIM, num_hidden_layers=4, layer_types=["mamba", "attention"] * 2, num_local_experts=5,
        num_experts_per_tok=2, shared_intermediate_size=28, mamba_n_heads=8, mamba_d_head=10, mamba_expand=1,
        mamba_n_groups=2, mamba_d_state=12, mamba_d_conv=4, mamba_chunk_size=16, position_embedding_type=None,
        attention_multiplier=0.1, embedding_multiplier=3.0, residual_multiplier=0.4, logits_scaling=2.0)),
    "nemotron_h": ("NemotronHConfig", "", dict(
        layers_block_type=["mamba", "moe", "attention", "mlp", "mamba"], num_hidden_layers=5, mamba_num_heads=6,
        mamba_head_dim=10, n_groups=2, ssm_state_size=12, conv_kernel=4, chunk_size=16, n_routed_experts=6,
        num_experts_per_tok=3, moe_intermediate_size=24, moe_shared_expert_intermediate_size=28, n_group=2,
        topk_group=1, routed_scaling_factor=1.3, norm_topk_prob=True)),
}

# What is changed in config.json before it is read again (None: left out): the forms that older files have.
EDITS = {
    "llama_linear": dict(rope_parameters=None, rope_theta=3000.0, rope_scaling=dict(type="linear", factor=4.0),
                         dtype=None, torch_dtype="float32"),
    "llama_dynamic": dict(rope_parameters=None, rope_theta=3000.0, rope_scaling=dict(type="dynamic", factor=2.0)),
    "qwen2": dict(rope_parameters=None, rope_theta=5000.0, layer_types=None, rope_scaling=dict(
        type="yarn", factor=4.0, original_max_position_embeddings=16)),
    "phi3_short": dict(rope_parameters=None, rope_theta=9000.0, partial_rotary_factor=0.8, rope_scaling=dict(
        type="longrope", short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
        long_factor=[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0])),
    "gemma3_text": dict(rope_parameters=None, rope_theta=50000.0, rope_local_base_freq=2000.0, layer_types=None,
                        _sliding_window_pattern=None,
                        sliding_window_pattern=2, rope_scaling=dict(rope_type="linear", factor=8.0)),
    "gemma4_text": dict(per_layer_config=None, global_head_dim=24),
    "gemma4_moe": dict(per_layer_config=None, global_head_dim=24, num_global_key_value_heads=1),
    "cohere2": dict(layer_types=None, sliding_window_pattern=2),
    "qwen3_next": dict(layer_types=None, full_attention_interval=2, rope_parameters=None, rope_theta=7000.0,
                       partial_rotary_factor=0.4),
    "deepseek_v2": dict(rope_parameters=None, rope_theta=5000.0, rope_scaling=dict(
        type="yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.8, mscale_all_dim=1.2, beta_fast=8,
        beta_slow=1)),
}


def stacked(tensors):
    """A layer's experts in one tensor each, as newer checkpoints have them."""
    out = {}
    for key, t in tensors.items():
        layer, is_expert, rest = key.partition(".experts.")
        if not is_expert:
            out[key] = t
        elif rest.startswith("0."):
            what, count = rest.split(".")[1], sum(k.startswith(layer + ".experts.") for k in tensors) // 3
            name = layer + ".experts." + what.replace("gate_proj", "gate_up_proj")
            if what != "up_proj":
                out[name] = np.tile(t, (count, 2 if what == "gate_proj" else 1, 1))
    return out


def spread(name, tensor):
    """Center and scale for a tensor as the class made it: what it is constant at, and around that."""
    if "A_log" in name:
        return 0.0, 1.0
    if tensor.ndim < 2 or max(tensor.shape) == tensor.size:
        constant = float(tensor.flat[0]) if np.all(tensor == tensor.flat[0]) else 0.0
        return (constant if constant in (0.0, 1.0) else round(constant, 3)), 0.4
    fan_in = tensor.size // tensor.shape[0] if tensor.ndim != 3 or tensor.shape[1] == 1 else tensor.shape[-1]
    scale = 1.7 / math.sqrt(fan_in)
    if "embed" in name or "wte" in name or "wpe" in name:
        scale = 1.0
    if name.endswith(("gate.weight", "router.weight", "router.proj.weight", "router.layer.weight")):
        scale *= 2  # choices of experts that no rounding changes
    return 0.0, float(f"{scale:.4g}")


def config_of(kind, options):
    def merged(more):
        out = {k: v for k, v in {**BASE, **more}.items()}
        return {k: v for k, v in out.items() if v is not None or k in ("sliding_window", "q_lora_rank",
                                                                       "position_embedding_type")}
    options = dict(options)
    if "text_config" in options:
        options["text_config"] = merged(options["text_config"])
        return getattr(transformers, kind)(**options)
    if kind == "GPT2Config":
        return getattr(transformers, kind)(vocab_size=BASE["vocab_size"], bos_token_id=1, eos_token_id=2, **options)
    return getattr(transformers, kind)(**merged(options))


@torch.no_grad()
def make(name, folder):
    kind, model_class, options = CASES[name]
    config = config_of(kind, options)
    torch.manual_seed(1)
    Model = getattr(transformers, model_class) if model_class else transformers.AutoModelForCausalLM
    model = (Model(config) if model_class else Model.from_config(config)).float()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    file = folder / "model.safetensors"
    made = load_file(file)
    if name.endswith("_stacked"):
        made = stacked(made)
    if name in EDITS:
        edited = json.loads((folder / "config.json").read_text()) | EDITS[name]
        edited = {key: value for key, value in edited.items() if EDITS[name].get(key, 0) is not None}
        (folder / "config.json").write_text(json.dumps(edited, indent=2) + "\n")
    tensors = {key: [list(t.shape), *spread(key, t)] for key, t in sorted(made.items())}
    for salt in range(20):
        save_file({key: values(key, math.prod(shape), center, scale, salt).reshape(shape)
                   for key, (shape, center, scale) in tensors.items()}, file, metadata={"format": "pt"})
        Model = getattr(transformers, model_class) if model_class else transformers.AutoModelForCausalLM
        model, info = Model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                            output_loading_info=True)
        wrong = {k: v for k, v in info.items() if v}
        assert not wrong, wrong
        model.eval()
        prompts, margin = [], 1e9
        for k in range(2):
            ids = (values(f"prompt {k}", LENGTH, 66.5, 63.4, 0)).astype(int).tolist()
            whole, greedy = list(ids), []
            logits = model(torch.tensor([ids])).logits[0].float()
            assert torch.isfinite(logits).all() and logits.std() > 0.02, logits.std()
            for _ in range(NEW):  # no stop at the end of text
                step = model(torch.tensor([whole]), use_cache=False).logits[0, -1].float()
                top = step.topk(2)
                margin = min(margin, float((top.values[0] - top.values[1]) / step.abs().max()))
                greedy.append(int(top.indices[0]))
                whole.append(greedy[-1])
            prompts.append(dict(ids=ids, greedy=greedy, logits=[
                [float(f"{v:.7g}") for v in logits[p].tolist()] for p in POSITIONS]))
        if margin > MARGIN:
            break
    assert margin > MARGIN, f"no clear choices: {margin}"
    return dict(transformers=transformers.__version__, torch=torch.__version__, salt=salt, tensors=tensors,
                positions=POSITIONS, prompts=prompts), made


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("names", nargs="*", help=" ".join(CASES))
    arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/data/models")
    arguments.add_argument("--keep", type=pathlib.Path, help="a folder for the checkpoints")
    options = arguments.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    failed = []
    for name in options.names or CASES:
        try:
            with tempfile.TemporaryDirectory() as temp:
                temp = pathlib.Path(temp)
                golden, made = make(name, temp)
                out = options.out / name
                out.mkdir(parents=True, exist_ok=True)
                text = json.dumps(golden, separators=(",", ":"))
                for key in ('"tensors":', '"positions":', '"prompts":', '"logits":'):
                    text = text.replace("," + key, ",\n" + key)
                text = text.replace('],"', '],\n"')
                (out / "tiny.json").write_text(text + "\n")
                shutil.copy(temp / "config.json", out / "config.json")
                if options.keep:
                    kept = options.keep / name
                    kept.mkdir(parents=True, exist_ok=True)
                    for file in [*temp.iterdir(), out / "tiny.json"]:
                        shutil.copy(file, kept / file.name)
            print(f"{name}: {len(golden['tensors'])} tensors, salt {golden['salt']}", flush=True)
        except Exception as error:  # the others are made all the same
            failed.append(name)
            print(f"{name}: FAILED: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(limit=-3)
    if failed:
        sys.exit("failed: " + " ".join(failed))


if __name__ == "__main__":
    main()
