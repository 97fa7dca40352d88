#!/usr/bin/env python3
"""Goldens of a model, by transformers in float32: for tests/llm/models_test.cpp.

    python3 tools/goldens_models.py phi                      # a new random checkpoint, and its goldens
    python3 tools/goldens_models.py tiny-phi models/tiny-phi # goldens of a checkpoint that is there

Writes tests/data/models/NAME: golden.json (prompts as ids, and their greedy continuations) and
golden.safetensors (promptK.logits, (length, vocabulary)); for a new one also the checkpoint. To add
an architecture, add its small config to CONFIGS.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

CONFIGS = {
    "phi": transformers.PhiConfig(
        vocab_size=256, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0),
}
LENGTHS, NEW = [5, 11, 37], 24

name = sys.argv[1]
out = pathlib.Path(__file__).resolve().parent.parent / "tests/data/models" / name
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
if len(sys.argv) > 2:
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[2], dtype=torch.float32)
else:
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32)
    with torch.no_grad():  # larger than at the start of training, so that greedy choices are clear
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    model.save_pretrained(out)
model.eval()

tensors, prompts = {}, []
with torch.no_grad():
    for k, length in enumerate(LENGTHS):
        ids = torch.randint(3, model.config.vocab_size, (1, length))
        tensors[f"prompt{k}.logits"] = model(ids).logits[0].float().contiguous()
        whole = ids
        for _ in range(NEW):  # no stop at the end-of-text token
            whole = torch.cat([whole, model(whole).logits[:, -1:].argmax(-1)], 1)
        prompts.append(dict(ids=ids[0].tolist(), greedy=whole[0, length:].tolist()))
save_file(tensors, out / "golden.safetensors")
(out / "golden.json").write_text(json.dumps(dict(
    transformers=transformers.__version__, torch=torch.__version__, dtype="float32", prompts=prompts)) + "\n")
