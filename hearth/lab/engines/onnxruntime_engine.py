"""ONNX Runtime GenAI; its own builder exports the model to a temporary folder."""
# engine: onnxruntime | generate | pip install onnxruntime-genai onnx onnx-ir
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile

import protocol
from protocol import Refusal

PROVIDERS = {"cpu": "cpu", "cuda": "cuda"}


class OnnxRuntime(protocol.Engine):
    options = ("dtype", "threads")

    def hello(self, device, options):
        import onnxruntime_genai as genai

        self.genai, self.options_given = genai, options
        devices = ["cpu"] + (["cuda"] if genai.is_cuda_available() else [])
        self.device = device or devices[-1]
        if self.device not in devices:
            raise Refusal(f"onnxruntime-genai has no device {device} here; it has {', '.join(devices)}")
        version = importlib.metadata.version("onnxruntime-genai")
        return {"name": "onnxruntime", "version": f"genai {version}", "device": self.device, "devices": devices}

    def load(self, model):
        # Its CPU kernels are f32 ones; the checkpoint's dtype is for GPUs.
        asked = self.options_given.get("dtype") or ("f32" if self.device == "cpu" else None)
        dtype = protocol.dtype_of(protocol.read_config(model), asked)
        if dtype not in ("f32", "f16"):
            raise Refusal(f"dtype {dtype} is not one of f16, f32")
        self.folder = tempfile.TemporaryDirectory()
        out, source = (os.path.join(self.folder.name, name) for name in ("out", "source"))
        copy_for_builder(model, source)
        builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", source, "-o", out]
        builder += ["-p", "fp32" if dtype == "f32" else "fp16", "-e", PROVIDERS[self.device], "-c", self.folder.name]
        done = subprocess.run(builder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Refusal("the model builder failed: " + done.stderr.strip().splitlines()[-1])
        path = os.path.join(out, "genai_config.json")
        with open(path) as file:
            config = json.load(file)
        config["model"]["eos_token_id"] = []  # none: all tokens are made
        if "threads" in self.options_given:
            session = config["model"]["decoder"]["session_options"]
            session["intra_op_num_threads"] = int(self.options_given["threads"])
        with open(path, "w") as file:
            json.dump(config, file)
        self.context = config["model"]["context_length"]
        self.model = self.genai.Model(out)
        weights = sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out) if f.endswith(".onnx.data"))
        threads = int(self.options_given.get("threads") or len(os.sched_getaffinity(0)))
        return {
            "dtype": dtype,
            "weights_bytes": weights,
            "parameters": weights // (4 if dtype == "f32" else 2),
            "threads": threads,
            "sampling": "greedy",
            "takes_ids": True,
        }

    def generate(self, prompts, new_tokens, emit, text):
        length = len(prompts[0])
        if length + new_tokens > self.context:
            raise Refusal(f"{length} tokens and {new_tokens} new ones exceed the context of {self.context}")
        params = self.genai.GeneratorParams(self.model)
        params.set_search_options(max_length=length + new_tokens, do_sample=False, batch_size=len(prompts))
        generator = self.genai.Generator(self.model, params)
        generator.append_tokens(prompts if len(prompts) > 1 else prompts[0])
        rows = [[] for _ in prompts]
        for _ in range(new_tokens):
            generator.generate_next_token()
            step = [int(i) for i in generator.get_next_tokens()]
            for row, token in zip(rows, step):
                row.append(token)
            if emit:
                emit(step)
        return {"ids": rows, "prompt_tokens": length}


def copy_for_builder(model, to):
    """Its builder takes the norms' eps from rms_norm_eps only, else 1e-6, whatever layer_norm_eps says."""
    config = protocol.read_config(model)
    config.setdefault("rms_norm_eps", config.get("layer_norm_eps", 1e-5))
    os.mkdir(to)
    for name in os.listdir(model):
        if name != "config.json":
            os.symlink(os.path.abspath(os.path.join(model, name)), os.path.join(to, name))
    with open(os.path.join(to, "config.json"), "w") as file:
        json.dump(config, file)


if __name__ == "__main__":
    protocol.serve(OnnxRuntime())
