#!/usr/bin/env python3
"""Writes tests/data/gguf: tiny.gguf, a random Llama in several types with a tokenizer and a chat template, by the gguf
package, and tiny.json, what transformers computes with its dequantised weights and what tokenizers makes of texts.

    python3 tools/goldens_gguf.py        # needs gguf, tokenizers, torch, transformers
"""
import json
import pathlib

import gguf
import numpy as np
import tokenizers
import torch
from gguf import GGMLQuantizationType as T
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/gguf"
HIDDEN, FFN, LAYERS, HEADS, KV, CONTEXT = 32, 64, 2, 4, 2, 128
HEAD = HIDDEN // HEADS
TYPES = {"attn_q": T.Q4_0, "attn_k": T.Q4_1, "attn_v": T.Q5_0, "attn_output": T.Q5_1, "ffn_gate": T.F16,
         "ffn_up": T.BF16, "ffn_down": T.Q8_0}
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
SPECIAL = ["<|begin_of_text|>", "<|eot_id|>", "<|start|>"]
TEMPLATE = ("{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}: {{ m.content }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start|>assistant:{% endif %}")
TEXTS = ["Hello world", " the other 12345 things\n\n", "It's été, 日本 🦙", "<|start|>the<|eot_id|>", ""]


def tokenizer():
    byte_map = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("e", "r"), ("o", "ther"[0:1] + "h"), ("l", "l"), ("1", "2"),
              ("12", "3"), ("H", "e"), ("He", "ll"), ("Hell", "o")]
    merges = [(a, b) for a, b in merges if a + b != "oth"]
    vocab = byte_map + [a + b for a, b in merges]
    made = tokenizers.Tokenizer(tokenizers.models.BPE({t: i for i, t in enumerate(vocab)}, merges, ignore_merges=True))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(SPLIT), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made, vocab + SPECIAL, merges


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    made, tokens, merges = tokenizer()
    vocab = len(tokens)
    out = gguf.GGUFWriter(OUT / "tiny.gguf", "llama")
    out.add_name("tiny"), out.add_block_count(LAYERS), out.add_context_length(CONTEXT)
    out.add_embedding_length(HIDDEN), out.add_feed_forward_length(FFN), out.add_head_count(HEADS)
    out.add_head_count_kv(KV), out.add_layer_norm_rms_eps(1e-5), out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(HEAD), out.add_vocab_size(vocab)
    out.add_tokenizer_model("gpt2"), out.add_tokenizer_pre("llama-bpe"), out.add_token_list(tokens)
    out.add_token_types([1] * (vocab - len(SPECIAL)) + [3] * len(SPECIAL))
    out.add_token_merges([f"{a} {b}" for a, b in merges])
    out.add_bos_token_id(tokens.index(SPECIAL[0])), out.add_eos_token_id(tokens.index(SPECIAL[1]))
    out.add_chat_template(TEMPLATE)
    state = {}

    def put(name, shape, kind, center=0.0, scale=None, to=None, order=None):
        x = (center + rng.standard_normal(shape) * (scale or shape[-1] ** -0.5)).astype(np.float32)
        packed = gguf.quants.quantize(x, kind)
        out.add_tensor(name, packed, raw_dtype=kind)
        back = gguf.quants.dequantize(packed, kind).reshape(shape).astype(np.float32)
        if order is not None:  # as transformers has the rows of q and k
            back = back.reshape(order, HEAD // 2, 2, HIDDEN).swapaxes(1, 2).reshape(shape)
        state[to] = torch.from_numpy(np.ascontiguousarray(back))

    put("token_embd.weight", (vocab, HIDDEN), T.Q8_0, scale=1.0, to="model.embed_tokens.weight")
    put("output_norm.weight", (HIDDEN,), T.F32, 1.0, 0.2, "model.norm.weight")
    factors = np.linspace(1, 8, HEAD // 2).astype(np.float32)
    out.add_tensor("rope_freqs.weight", factors)
    for i in range(LAYERS):
        b, h = f"blk.{i}.", f"model.layers.{i}."
        put(b + "attn_norm.weight", (HIDDEN,), T.F32, 1.0, 0.2, h + "input_layernorm.weight")
        put(b + "ffn_norm.weight", (HIDDEN,), T.F32, 1.0, 0.2, h + "post_attention_layernorm.weight")
        for name, theirs, shape, order in (
                ("attn_q", "self_attn.q_proj", (HEADS * HEAD, HIDDEN), HEADS),
                ("attn_k", "self_attn.k_proj", (KV * HEAD, HIDDEN), KV),
                ("attn_v", "self_attn.v_proj", (KV * HEAD, HIDDEN), None),
                ("attn_output", "self_attn.o_proj", (HIDDEN, HEADS * HEAD), None),
                ("ffn_gate", "mlp.gate_proj", (FFN, HIDDEN), None), ("ffn_up", "mlp.up_proj", (FFN, HIDDEN), None),
                ("ffn_down", "mlp.down_proj", (HIDDEN, FFN), None)):
            put(b + name + ".weight", shape, TYPES[name], to=h + theirs + ".weight", order=order)
    out.write_header_to_file(), out.write_kv_data_to_file(), out.write_tensors_to_file()
    out.close()

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=HIDDEN, intermediate_size=FFN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV, rms_norm_eps=1e-5, max_position_embeddings=CONTEXT,
        tie_word_embeddings=True)).eval()
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.model.rotary_emb.inv_freq /= torch.from_numpy(factors)
    ids = [int(i) for i in rng.integers(0, vocab, 24)]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    (OUT / "tiny.json").write_text(json.dumps({
        "ids": ids, "positions": [0, 9, 23], "logits": [[round(float(v), 6) for v in logits[i]] for i in (0, 9, 23)],
        "texts": [{"text": t, "ids": [tokens.index(SPECIAL[0])] + made.encode(t).ids} for t in TEXTS]},
        ensure_ascii=True) + "\n")


main()
