"""llama.cpp, through llama-cpp-python: a GGUF file as it is; a folder becomes a temporary one."""
# engine: llama.cpp | generate | pip install llama-cpp-python
import os
import tempfile

import protocol
from protocol import Refusal


class LlamaCpp(protocol.Engine):
    options = ("dtype", "threads", "flash")

    def hello(self, device, options):
        import llama_cpp

        self.llama_cpp, self.options_given = llama_cpp, options
        gpu = llama_cpp.llama_supports_gpu_offload()
        devices = ["cpu"] + (["gpu"] if gpu else [])
        self.device = {"cuda": "gpu", "metal": "gpu"}.get(device, device) or devices[-1]
        if self.device not in devices:
            raise Refusal(f"this build of llama.cpp has no device {device}; it has {', '.join(devices)}")
        version = f"llama-cpp-python {llama_cpp.__version__}"
        return {"name": "llama.cpp", "version": version, "device": self.device, "devices": devices, "tells_logits": True}

    def load(self, model):
        if not os.path.isdir(model):
            return self.load_file(model)
        import gguf_writer

        config = protocol.read_config(model)
        with tempfile.TemporaryDirectory() as folder:  # it stays mapped when its name is gone
            path = os.path.join(folder, "model.gguf")
            gguf_writer.write(model, path, protocol.dtype_of(config, self.options_given.get("dtype")))
            return self.load_file(path, config["max_position_embeddings"])

    def load_file(self, path, room=4096):
        self.path, self.room = path, 0
        self.threads = int(self.options_given.get("threads") or len(os.sched_getaffinity(0)))
        self.make_room(room)
        inside = self.model._model
        self.context, size, parameters = inside.n_ctx_train(), inside.size(), inside.n_params()
        # general.file_type, as ggml numbers it, where one dtype is meant for all weights
        dtype = {"0": "f32", "1": "f16", "32": "bf16"}.get(self.model.metadata.get("general.file_type"))
        asked = self.options_given.get("dtype")
        if asked and protocol.dtype_of({}, asked) != (dtype or "f32"):
            raise Refusal(f"llama.cpp computes on {path} in {dtype or 'f32'}; it has no choice of {asked}")
        return {
            "dtype": dtype or "f32",
            "activations": dtype or "int8",  # packed weights meet blocks of int8, all else is in f32
            "weights_bytes": size,
            "parameters": parameters,
            "threads": self.threads,
            "sampling": "greedy",
            "takes_ids": True,
            "notes": ["KV cache f16; the largest logit is found by NumPy"],
        }

    def make_room(self, tokens):
        """A context of so many tokens at least. Its state is allocated at once: a model's whole context may be
        larger than memory. The weights stay mapped, so another context is quick."""
        if tokens <= self.room:
            return
        self.room = tokens
        self.model = self.llama_cpp.Llama(
            self.path,
            n_ctx=self.room,
            n_threads=self.threads,
            n_threads_batch=self.threads,
            n_gpu_layers=-1 if self.device == "gpu" else 0,
            flash_attn=self.options_given.get("flash", "0") != "0",
            verbose=False,
        )

    def generate(self, prompts, new_tokens, emit, text):
        import numpy as np

        if len(prompts) > 1:
            raise Refusal("llama-cpp-python's Llama takes one row")
        if len(prompts[0]) + new_tokens > self.context:
            raise Refusal(f"{len(prompts[0])} tokens and {new_tokens} new ones exceed the context of {self.context}")
        self.make_room(len(prompts[0]) + new_tokens)
        self.model.reset()
        self.model.eval(prompts[0])
        ids = []
        while True:
            ids.append(int(np.argmax(self.last_logits())))
            if emit:
                emit([ids[-1]])
            if len(ids) == new_tokens:
                return {"ids": [ids], "prompt_tokens": len(prompts[0])}
            self.model.eval(ids[-1:])

    def last_logits(self):
        import numpy as np

        logits = self.llama_cpp.llama_get_logits_ith(self.model.ctx, -1)
        return np.ctypeslib.as_array(logits, shape=(self.model.n_vocab(),))

    def logits(self, prompt, tokens):
        self.make_room(len(prompt))
        self.model.reset()
        self.model.eval(prompt)
        return self.last_logits()[tokens]


if __name__ == "__main__":
    protocol.serve(LlamaCpp())
