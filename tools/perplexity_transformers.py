#!/usr/bin/env python3
"""The perplexity of a text by transformers, windowed as `hearth perplexity` does it.

    python3 tools/perplexity_transformers.py MODEL TEXT [WINDOW] >> tests/data/llm/story_perplexity.jsonl

The text's ids, with no special token added, are cut into windows of WINDOW tokens (default: the
model's context) that do not overlap. Each window is seen without what came before it, and all its
tokens but the first are predicted; a last window of one token predicts nothing. The value is
exp(mean negative log-likelihood); weights and sums are float32, the mean float64.
"""
import json
import math
import sys
from pathlib import Path

import torch
import transformers

folder, text = sys.argv[1], sys.argv[2]
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
window = int(sys.argv[3]) if len(sys.argv) > 3 else model.config.max_position_embeddings
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(Path(folder) / "tokenizer.json"))
ids = tokenizer.encode(Path(text).read_text(encoding="utf-8"), add_special_tokens=False)

losses = []
with torch.no_grad():
    for start in range(0, len(ids) - 1, window):
        x = torch.tensor([ids[start : start + window]])
        logits = model(x).logits[0, :-1]
        losses += torch.nn.functional.cross_entropy(logits, x[0, 1:], reduction="none").double().tolist()

n, mean = len(losses), sum(losses) / len(losses)
spread = math.sqrt(sum((v - mean) ** 2 for v in losses) / (n - 1))
print(json.dumps(dict(perplexity=math.exp(mean), mean_nll_nats=mean,
                      standard_error=math.exp(mean) * spread / math.sqrt(n), tokens=n,
                      window_tokens=window, transformers=transformers.__version__)))
