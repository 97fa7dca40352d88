"""The protocol of docs/engines.md, for engines in Python: subclass Engine, call serve()."""
import json
import math
import os
import sys


class Refusal(Exception):
    """What the engine cannot do, said to the lab in a sentence; it lives on."""


class Engine:
    """What an adapter offers. Every method may raise; the error goes to the lab."""

    options = ()  # the names of the options that it knows

    def hello(self, device, options):
        """Imports what it needs and settles on a device. {name, version, device, devices}"""
        raise NotImplementedError

    def load(self, model):
        """{dtype, activations, weights_bytes, parameters, threads, sampling, takes_ids, notes}"""
        raise Refusal("this engine runs operations only")

    def generate(self, prompts, new_tokens, emit, text):
        """Greedily new_tokens ids for each row, whatever they are; emit(ids of all rows) at each,
        or emit is None. {ids, own}"""
        raise Refusal("this engine runs operations only")

    def op(self, name, dtype, shape, calls):
        """Runs the operation calls times, to its end."""
        raise Refusal("this engine runs models only")

    def checksum(self):
        """The mean of the absolute values of the last operation's result."""
        raise Refusal("this engine runs models only")

    def launches(self, prompts, new_tokens):
        """What a decoding step starts on the device: {launches, replayed}. Asked of engines whose
        hello has counts_launches, after all that is timed."""
        raise Refusal("this engine does not count its launches")

    def logits(self, prompt, tokens):
        """Its logits of the tokens after the prompt. Asked of engines whose hello has tells_logits,
        after all that is timed."""
        raise Refusal("this engine does not tell its logits")

    def memory(self):
        return {}

    def clear_cache(self):
        pass

    def end(self):
        """Before this process ends: ends what it started."""


def values(shape, seed=0):
    """The operands of the op job, as NumPy float32: the same for every engine, in -0.5 to 0.5."""
    import numpy as np

    n = int(np.prod(shape))
    x = np.arange(seed, seed + n, dtype=np.uint32) * np.uint32(2654435761)
    x ^= x >> np.uint32(15)
    return (x.astype(np.float64) / 2**32 - 0.5).astype(np.float32).reshape(shape)


def operands(name, shape):
    """The shapes of an op's operands."""
    wanted = {"matmul": 3, "matvec": 2, "conv2d": 6, "softmax": 2, "layer_norm": 2}
    wanted.update({"gelu": 1, "sum": 1, "sort": 1, "train_mnist": 1})
    if name not in wanted:
        raise Refusal(f"there is no operation {name}")
    if len(shape) != wanted[name]:
        raise Refusal(f"{name} takes {wanted[name]} sizes, got {len(shape)}")
    if name == "matmul":
        m, k, n = shape
        return [(m, k), (k, n)]
    if name == "matvec":
        return [tuple(shape), (shape[1],)]
    if name == "conv2d":  # NHWC and OHWI
        n, h, w, c, o, k = shape
        return [(n, h, w, c), (o, k, k, c)]
    if name == "train_mnist":  # images, then the parameters in the order of their names
        conv1, conv2, fc1, fc2 = (32, 3, 3, 1), (64, 3, 3, 32), (128, 9216), (10, 128)
        return [(shape[0], 28, 28, 1), (32,), conv1, (64,), conv2, (128,), fc1, (10,), fc2]
    return [tuple(shape)]


def mnist(batch):
    """The operands of train_mnist, as NumPy float32: images, and the parameters by their names."""
    images, *parameters = (values(s, seed) for seed, s in enumerate(operands("train_mnist", [batch])))
    names = [f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2") for kind in ("bias", "weight")]
    return images, {n: w * (w.size // w.shape[0]) ** -0.5 * 2 for n, w in zip(names, parameters)}


def dtype_of(config, asked):
    """The option, else the checkpoint's dtype, by its short name: f16, bf16 or f32."""
    names = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}
    dtype = names.get(asked, asked) or names.get(config.get("dtype") or config.get("torch_dtype"), "f32")
    if dtype not in names.values():
        raise Refusal(f"dtype {dtype} is not one of f16, bf16, f32")
    return dtype


def read_config(model):
    with open(os.path.join(model, "config.json")) as file:
        return json.load(file)


def serve(engine):
    """Answers requests until bye, or the end of standard input."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not disturb the protocol
    sys.stdout = sys.stderr

    def send(request, **answer):
        out.write(json.dumps({"id": request["id"], **answer}) + "\n")
        out.flush()

    def do(request):
        what = request["do"]
        if what == "hello":
            engine.timeout = 0.95 * float(request.get("timeout") or 120)
            unknown = set(request["options"]) - set(engine.options)
            if unknown:
                raise Refusal(f"no option {', '.join(sorted(unknown))}; there are {', '.join(engine.options)}")
            return engine.hello(request["device"], request["options"])
        if what == "load":
            return engine.load(request["model"])
        if what == "run" and request["kind"] == "op":
            return engine.op(request["op"], request["dtype"], request["shape"], request["calls"])
        if what == "run":
            emit = (lambda ids: send(request, token=ids)) if request["stream"] else None
            return engine.generate(request["prompts"], request["new_tokens"], emit, request.get("text"))
        if what == "check":
            checksum = engine.checksum()
            if not math.isfinite(checksum):
                raise Refusal(f"the result is {checksum}")
            return {"checksum": checksum}
        if what == "launches":
            return engine.launches(request["prompts"], request["new_tokens"])
        if what == "logits":
            return {"logits": [float(x) for x in engine.logits(request["prompt"], request["tokens"])]}
        if what == "memory":
            return engine.memory()
        if what == "clear_cache":
            return engine.clear_cache() or {}
        raise Refusal(f"there is no request {what}")

    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "bye":
            break
        try:
            answer = do(request)
        except Exception as error:  # whatever a library throws is the engine's answer
            send(request, error=str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}")
        else:
            send(request, done=answer)
    engine.end()
    sys.stdout.flush()
    os._exit(0)  # some libraries hang in their own ending
