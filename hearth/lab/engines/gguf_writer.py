"""A phi checkpoint folder as a GGUF file (version 3, architecture phi2): f32, f16 or bf16 weights, vocabulary included."""
import json
import os
import struct

import numpy as np

import protocol
from protocol import Refusal

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of values
TENSOR_TYPES = {"f32": 0, "f16": 1, "bf16": 30}
NAMES = {  # the checkpoint's, without .weight and .bias, and GGUF's
    "model.embed_tokens": "token_embd",
    "model.final_layernorm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.dense": "attn_output",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


def gguf_name(key):
    stem, kind = key.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[rest]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def read_safetensors(folder):
    """{key: (dtype, array)}; bf16 as its 16 bits. Mapped, not read."""
    found = {}
    for file in sorted(f for f in os.listdir(folder) if f.endswith(".safetensors")):
        path = os.path.join(folder, file)
        with open(path, "rb") as data:
            (size,) = struct.unpack("<Q", data.read(8))
            header = json.loads(data.read(size))
        header.pop("__metadata__", None)
        kinds = {"F32": ("f32", np.float32), "F16": ("f16", np.float16), "BF16": ("bf16", np.uint16)}
        whole = np.memmap(path, np.uint8, "r")
        for key, entry in header.items():
            dtype, kind = kinds[entry["dtype"]]
            begin, end = (8 + size + at for at in entry["data_offsets"])
            found[key] = dtype, np.frombuffer(whole[begin:end].data, kind).reshape(entry["shape"])
    return found


def converted(dtype, values, to):
    if dtype == to:
        return values
    wide = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "bf16" else values.astype(np.float32)
    if to == "f32":
        return wide
    if to == "f16":
        return wide.astype(np.float16)
    bits = wide.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)  # to nearest even


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_of(value):
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return U32, struct.pack("<I", value)
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, text(value)
    items = [value_of(item) for item in value]
    kind = {U32: I32}.get(items[0][0], items[0][0]) if items else STRING  # llama.cpp reads lists as signed
    head = struct.pack("<IQ", kind, len(items))
    return ARRAY, head + b"".join(raw for _, raw in items)


def vocabulary(folder, size):
    """The keys of the tokenizer: tokens, their types, merges. Without a tokenizer.json: that there is none."""
    path = os.path.join(folder, "tokenizer.json")
    if not os.path.exists(path):
        return {"tokenizer.ggml.model": "none", "phi2.vocab_size": size}
    with open(path, encoding="utf-8") as file:
        tokenizer = json.load(file)
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [5] * size  # unused
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, 1
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], 3 if added["special"] else 4
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
    }


def metadata(folder, config, dtype):
    heads = config["num_attention_heads"]
    rope = config.get("rope_parameters") or config
    rotated = float(rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 0.5)))
    end = config.get("eos_token_id") or 0
    keys = {
        "general.architecture": "phi2",
        "general.name": os.path.basename(os.path.abspath(folder)),
        "general.file_type": {"f32": 0, "f16": 1, "bf16": 32}[dtype],
        "phi2.context_length": config["max_position_embeddings"],
        "phi2.embedding_length": config["hidden_size"],
        "phi2.feed_forward_length": config["intermediate_size"],
        "phi2.block_count": config["num_hidden_layers"],
        "phi2.attention.head_count": heads,
        "phi2.attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "phi2.attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "phi2.rope.dimension_count": int(rotated * config["hidden_size"]) // heads,
        "phi2.rope.freq_base": float(rope.get("rope_theta", config.get("rope_theta", 10000.0))),
    }
    keys.update(vocabulary(folder, config["vocab_size"]))
    if keys["tokenizer.ggml.model"] != "none":
        keys["tokenizer.ggml.bos_token_id"] = config.get("bos_token_id") or end
        keys["tokenizer.ggml.eos_token_id"] = end
        keys["tokenizer.ggml.add_bos_token"] = False
    return keys


def write(folder, path, dtype):
    """Writes the GGUF; the number of parameters and their bytes."""
    config = protocol.read_config(folder)
    if config.get("model_type") != "phi":
        raise Refusal(f"the GGUF writer knows phi checkpoints, not {config.get('model_type')}")
    keys = metadata(folder, config, dtype)
    tensors = []  # name, kind, shape, source
    for key, (kind, values) in read_safetensors(folder).items():
        # llama.cpp wants norms and biases wide
        tensors.append((gguf_name(key), dtype if values.ndim > 1 else "f32", kind, values))
    with open(path, "wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)))
        for key, value in keys.items():
            kind, raw = value_of(value)
            out.write(text(key) + struct.pack("<I", kind) + raw)
        offset = 0
        for name, to, _, values in tensors:
            dims = values.shape[::-1]
            out.write(text(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
            out.write(struct.pack("<IQ", TENSOR_TYPES[to], offset))
            size = values.size * (4 if to == "f32" else 2)
            offset += size + -size % ALIGNMENT
        out.write(bytes(-out.tell() % ALIGNMENT))
        for _, to, kind, values in tensors:
            converted(kind, values, to).tofile(out)
            out.write(bytes(-out.tell() % ALIGNMENT))
    return sum(v.size for *_, v in tensors), sum(v.size * (4 if to == "f32" else 2) for _, to, _, v in tensors)
