"""NumPy: operations."""
# engine: numpy | op | pip install numpy
import protocol
from protocol import Refusal


class NumPy(protocol.Engine):
    def hello(self, device, options):
        import numpy

        if device not in (None, "cpu"):
            raise Refusal("numpy has no device but cpu")
        self.np = numpy
        return {"name": "numpy", "version": numpy.__version__, "device": "cpu", "devices": ["cpu"]}

    def op(self, name, dtype, shape, calls):
        np = self.np
        if dtype == "bf16":
            raise Refusal("numpy has no bf16")
        key = (name, dtype, tuple(shape))
        if getattr(self, "prepared", None) != key:
            kind = {"f16": np.float16, "f32": np.float32}[dtype]
            self.args = [protocol.values(s, i).astype(kind) for i, s in enumerate(protocol.operands(name, shape))]
            self.prepared = key
        runs = {
            "matmul": np.matmul,
            "matvec": np.matmul,
            "softmax": softmax(np),
            "layer_norm": layer_norm(np),
            "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x))),
            "sum": np.sum,
            "sort": np.sort,
        }
        if name not in runs:
            raise Refusal(f"numpy has no {name}")
        for _ in range(calls):
            self.out = runs[name](*self.args)
        return {}

    def checksum(self):
        return float(self.np.abs(self.out.astype(self.np.float32)).mean())


def softmax(np):
    def run(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    return run


def layer_norm(np):
    def run(x):
        d = x - x.mean(-1, keepdims=True)
        return d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5)

    return run


if __name__ == "__main__":
    protocol.serve(NumPy())
