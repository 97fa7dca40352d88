#!/usr/bin/env python3
"""Writes tests/data/gguf/real.json: what transformers computes in float32 with the dequantised weights of the models
that tools/gguf_fetch.py fetches into FOLDER: 64 greedy tokens behind a prompt, and the perplexity of tests/data/llm/
story.txt in windows of 512 tokens.

    python3 tools/gguf_real.py FOLDER HEARTH     # needs torch, transformers, accelerate, gguf; ids by HEARTH tokenize
"""
import json
import math
import pathlib
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
CHAT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>"
        "user\nWhat is the capital of France? Tell me three facts about it.<|im_end|>\n<|im_start|>assistant\n")
MODELS = {"SmolLM2-135M-Instruct.Q4_1.gguf": CHAT,
          "gemma-3-270m-q4_k_m.gguf": "The history of the city of Paris begins"}


def main():
    folder, hearth = pathlib.Path(sys.argv[1]) / "models", sys.argv[2]
    story = (DATA / "llm/story.txt").read_text()
    out = {}
    for file, prompt in MODELS.items():
        def ids_of(text):
            run = subprocess.run([hearth, "tokenize", "--model", folder / file, "--jsonl"], check=True, text=True,
                                 input=json.dumps({"text": text}) + "\n", capture_output=True)
            return json.loads(run.stdout)["ids"]
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
        ids, text = ids_of(prompt), ids_of(story)
        with torch.inference_mode():
            new = model.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False)[0, len(ids):].tolist()
            surprise = count = 0
            for i in range(0, len(text) - 1, 512):
                part = torch.tensor(text[i:i + 512])
                logits = model(part[None]).logits[0].log_softmax(-1)
                surprise -= logits[:-1].gather(1, part[1:, None]).sum().item()
                count += len(part) - 1
        out[file] = {"prompt": prompt, "ids": ids, "greedy": new, "perplexity": round(math.exp(surprise / count), 5)}
    (DATA / "gguf/real.json").write_text(json.dumps(out, indent=1) + "\n")


main()
