#!/usr/bin/env python3
"""The tiny checkpoints of tools/tiny_models.py as GGUF files, by llama.cpp's own converter, for
tests/llm/gguf_models_test.cpp, which finds them in $HEARTH_GGUF/tiny.

    python3 tools/tiny_models.py --keep TINY
    python3 tools/gguf_models.py LLAMA_CPP TINY FOLDER      # FOLDER/tiny/NAME.gguf and NAME.json

LLAMA_CPP is its source (with conversion/ and gguf-py/). The checkpoints have no tokenizer: the files
get one that has a token for each id, and nothing more. What a file cannot say is changed in
config.json before (CHANGES); NAME.json is what was converted.
"""
import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import traceback

NO_WINDOW = dict(sliding_window=None)
YARN = dict(rope_type="yarn", rope_theta=5000.0, factor=4.0, original_max_position_embeddings=16, mscale=1.2,
            mscale_all_dim=1.2, beta_fast=8, beta_slow=1)
ROPE = dict(rope_type="default", rope_theta=7000.0)
HUNYUAN = dict(max_position_embeddings=262144, rope_parameters=dict(
    rope_type="dynamic", alpha=1000.0, factor=1.0, rope_theta=10000.0))
# What the converter leaves out, or does not take; None takes a field away.
GEMMA3 = dict(query_pre_attn_scalar=20, rope_theta=None, rope_scaling=None, rope_local_base_freq=None,
              rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=50000.0, factor=8.0),
                                   sliding_attention=dict(rope_type="default", rope_theta=2000.0)))
CHANGES = {
    "mistral": NO_WINDOW, "mixtral": NO_WINDOW, "starcoder2": NO_WINDOW,
    "qwen2": dict(use_sliding_window=False), "qwen3": dict(use_sliding_window=False, layer_types=None),
    "gemma2": dict(query_pre_attn_scalar=20),
    "gemma3": GEMMA3, "gemma3_text": GEMMA3,
    "lfm2_moe": dict(routed_scaling_factor=1.0),
    "smollm3": dict(no_rope_layers=[1, 1, 1, 0]),
    "deepseek_v2": dict(rope_parameters=YARN, rope_theta=None, rope_scaling=None), "deepseek_v3": dict(rope_parameters=YARN),
    "gpt2": dict(n_ctx=128), "gpt_neox": dict(rotary_pct=0.5), "gpt_neox_serial": dict(rotary_pct=0.5),
    "cohere2": dict(rotary_pct=1, sliding_window_pattern=4),
    "hunyuan_v1_dense": HUNYUAN, "hunyuan_v1_moe": dict(HUNYUAN, moe_intermediate_size=[72] * 3, moe_topk=[3] * 3, num_shared_expert=[1] * 3),
    "qwen3_5": dict(mtp_num_hidden_layers=1), "qwen3_5_moe": dict(mtp_num_hidden_layers=1),
    "qwen3_5_moe_stacked": dict(mtp_num_hidden_layers=1), "qwen3_next": dict(mtp_num_hidden_layers=1),
}


def write_vocab(model):
    size = model.hparams.get("vocab_size") or model.hparams["text_config"]["vocab_size"]
    out = model.gguf_writer
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list([f"t{i}" for i in range(size)])
    out.add_token_types([1] * size)
    out.add_token_merges(["t 1"])
    out.add_eos_token_id(model.hparams.get("eos_token_id") or 2)
    if "gemma3" in model.gguf_writer.arch:  # the converter leaves it out
        out.add_uint32("gemma3.attention.sliding_window_pattern",
                       (model.hparams.get("layer_types") or [""] * 5 + ["full_attention"]).index("full_attention") + 1)


def changed(folder, to):
    config = json.loads((folder / "config.json").read_text())
    inner = config.get("text_config", config)
    for key, value in CHANGES.get(folder.name, {}).items():
        inner.pop(key, None) if value is None and key != "sliding_window" else inner.__setitem__(key, value)
    (to / "config.json").write_text(json.dumps(config))
    size = inner["vocab_size"]
    (to / "tokenizer.json").write_text(json.dumps(
        {"model": {"vocab": {f"t{i}": i for i in range(size)}}, "added_tokens": []}))
    shutil.copy(folder / "model.safetensors", to)
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_cpp", type=pathlib.Path)
    parser.add_argument("tiny", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="default: all")
    args = parser.parse_args()
    sys.path[:0] = [str(args.llama_cpp), str(args.llama_cpp / "gguf-py")]
    import torch
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
    out = args.folder / "tiny"
    out.mkdir(parents=True, exist_ok=True)
    refused = {}
    for folder in sorted(args.tiny.iterdir()):
        if args.names and folder.name not in args.names:
            continue
        file = out / (folder.name + ".gguf")
        try:
            with tempfile.TemporaryDirectory() as temp, torch.inference_mode():
                source = pathlib.Path(temp)
                config = changed(folder, source)
                hparams = ModelBase.load_hparams(source, False)
                kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
                for vocab in [name for name in dir(kind) if name.startswith(("set_vocab", "_set_vocab"))]:
                    setattr(kind, vocab, write_vocab)
                model = kind(source, gguf.LlamaFileType.ALL_F32, file)
                for key in ("n_ctx", "rotary_pct"):  # old names, which transformers 5 drops
                    if key in CHANGES.get(folder.name, {}):
                        model.hparams[key] = CHANGES[folder.name][key]
                model.write()
                file.with_suffix(".json").write_text(json.dumps(config))
        except (Exception, SystemExit) as error:
            refused[folder.name] = f"{type(error).__name__}: {error}"
            file.unlink(missing_ok=True)
            if len(args.names) == 1:
                traceback.print_exc()
    for name, why in refused.items():
        print(f"{name}: the converter does not take it: {why}")


main()
