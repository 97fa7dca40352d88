"""llama.cpp, through llama-cpp-python; the model becomes a temporary GGUF file."""
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
        import gguf_writer

        options = self.options_given
        config = protocol.read_config(model)
        dtype = protocol.dtype_of(config, options.get("dtype"))
        self.context = config["max_position_embeddings"]
        threads = int(options.get("threads") or len(os.sched_getaffinity(0)))
        with tempfile.TemporaryDirectory() as folder:  # it stays mapped when its name is gone
            path = os.path.join(folder, "model.gguf")
            parameters, size = gguf_writer.write(model, path, dtype)
            self.model = self.llama_cpp.Llama(
                path,
                n_ctx=self.context,
                n_threads=threads,
                n_threads_batch=threads,
                n_gpu_layers=-1 if self.device == "gpu" else 0,
                flash_attn=options.get("flash", "0") != "0",
                verbose=False,
            )
        return {
            "dtype": dtype,
            "weights_bytes": size,
            "parameters": parameters,
            "threads": threads,
            "sampling": "greedy",
            "takes_ids": True,
            "notes": ["KV cache f16; the largest logit is found by NumPy"],
        }

    def generate(self, prompts, new_tokens, emit, text):
        import numpy as np

        if len(prompts) > 1:
            raise Refusal("llama-cpp-python's Llama takes one row")
        if len(prompts[0]) + new_tokens > self.context:
            raise Refusal(f"{len(prompts[0])} tokens and {new_tokens} new ones exceed the context of {self.context}")
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
        self.model.reset()
        self.model.eval(prompt)
        return self.last_logits()[tokens]


if __name__ == "__main__":
    protocol.serve(LlamaCpp())
