#!/usr/bin/env python3
"""Vectors of texts, by transformers in float32: for tests/llm/embedder_test.cpp.

    python3 tools/goldens_embed.py

Writes tests/data/llm/embed.json: for tiny encoders of several families their config.json, and for texts
their tokens and pooled vectors. No weights are written: both sides make them by the same formula, from the
place of a tensor among the sorted names of its checkpoint.
"""
import json
import math
import pathlib

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/llm/embed.json"
WORDS = "the a cat dog sat on mat un ##happi ##ness ##s ##ly hear ##th warm fire , . ! caf ##e is not it was".split()
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
TEXTS = ["The cat sat on the mat.", "Unhappiness!", "a warm fire, a hearth", "", "dogs", "It was not the dog, it is the cat",
         "xylophone", "Caf\u00e9 is warm, warm, warm, warm, warm, warm, warm, warm, warm, warm, warm"]
MOST = 20  # tokens of a text
SIZES = dict(vocab_size=len(VOCAB), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
             intermediate_size=40, max_position_embeddings=32)
FAMILIES = {
    "bert": transformers.BertModel(transformers.BertConfig(**SIZES), add_pooling_layer=False),
    "xlm-roberta": transformers.XLMRobertaModel(
        transformers.XLMRobertaConfig(**SIZES, type_vocab_size=1, pad_token_id=1, hidden_act="gelu_new",
                                      layer_norm_eps=1e-5), add_pooling_layer=False),
}


def weights(number, name, shape):
    """uint32 arithmetic of the tensor's number and each element's, as a value in [-0.5, 0.5)."""
    i = np.arange(math.prod(shape), dtype=np.uint64)
    x = (i * 2654435761 + (number + 1) * 40503) % 2**32
    x = ((x ^ (x >> np.uint64(16))) * 2246822519) % 2**32
    x ^= x >> np.uint64(13)
    value = x.astype(np.float64) / 2**32 - 0.5
    return (value + ("LayerNorm.weight" in name)).astype(np.float32).reshape(shape)


def tokenizer():
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCAB)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def poolings(h):  # (length, hidden)
    n = h.shape[0]
    steps = torch.arange(1, n + 1, dtype=torch.float32)[:, None]
    return {"cls": h[0], "max": h.max(0).values, "mean": h.mean(0), "mean-sqrt-len": h.sum(0) / math.sqrt(n),
            "weighted-mean": (h * steps).sum(0) / steps.sum(), "last": h[-1]}


words = tokenizer()
out = {"transformers": transformers.__version__, "torch": torch.__version__, "texts": TEXTS, "max_tokens": MOST,
       "tokenizer": json.loads(words.to_str()), "families": {}}
words.enable_truncation(MOST)
out["ids"] = [words.encode(text).ids for text in TEXTS]
for family, model in FAMILIES.items():
    state = model.state_dict()
    names = sorted(name for name in state if not name.endswith(("position_ids", "token_type_ids")))
    state.update({name: torch.from_numpy(weights(k, name, state[name].shape)) for k, name in enumerate(names)})
    model.load_state_dict(state)
    model.eval()
    vectors = []
    with torch.no_grad():
        for ids in out["ids"]:
            h = model(torch.tensor([ids])).last_hidden_state[0]
            vectors.append({k: [float(f"{x:.7g}") for x in v] for k, v in poolings(h).items()})
    config = model.config.to_dict()
    out["families"][family] = {"config": {k: v for k, v in config.items() if isinstance(v, (int, float, str)) and k[0] != "_"},
                               "names": names, "shapes": [list(state[n].shape) for n in names], "vectors": vectors}
OUT.write_text(json.dumps(out, separators=(",", ":")) + "\n")
