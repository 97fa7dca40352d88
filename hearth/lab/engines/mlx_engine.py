"""MLX: mlx-lm's generate_step; and operations."""
# engine: mlx | generate op | pip install 'mlx[cpu]' mlx-lm (on a GPU: mlx[cuda])
import importlib.metadata
import pathlib

import protocol
from protocol import Refusal


class Mlx(protocol.Engine):
    options = ("dtype",)

    def hello(self, device, options):
        import mlx.core as mx

        self.mx, self.asked = mx, options.get("dtype")
        devices = ["cpu"]
        for kind, there in (("metal", mx.metal.is_available()), ("cuda", mx.cuda.is_available())):
            devices += [kind] if there else []
        self.device = {"gpu": devices[-1]}.get(device, device) or devices[-1]
        if self.device not in devices:
            raise Refusal(f"mlx has no device {device} here; it has {', '.join(devices)}")
        mx.set_default_device(mx.cpu if self.device == "cpu" else mx.gpu)
        version, lacks = importlib.metadata.version("mlx"), {}
        try:
            version += f", mlx-lm {importlib.metadata.version('mlx-lm')}"
        except importlib.metadata.PackageNotFoundError:
            lacks = {"generate": "mlx-lm is not installed: pip install mlx-lm"}
        return {"name": "mlx", "version": version, "device": self.device, "devices": devices, "lacks": lacks,
                "tells_logits": True}

    def load(self, model):
        from mlx.utils import tree_flatten
        from mlx_lm.utils import load_model

        mx = self.mx
        dtype = protocol.dtype_of(protocol.read_config(model), self.asked)
        self.model, _ = load_model(pathlib.Path(model))
        self.model.set_dtype({"f16": mx.float16, "bf16": mx.bfloat16, "f32": mx.float32}[dtype])
        mx.eval(self.model.parameters())
        weights = [w for _, w in tree_flatten(self.model.parameters())]
        return {
            "dtype": dtype,
            "weights_bytes": sum(w.nbytes for w in weights),
            "parameters": sum(w.size for w in weights),
            "sampling": "greedy",
            "takes_ids": True,
            "notes": ["generate_step of mlx-lm"],
        }

    def generate(self, prompts, new_tokens, emit, text):
        from mlx_lm.generate import generate_step

        if len(prompts) > 1:
            raise Refusal("generate_step of mlx-lm takes one row")
        ids = []
        for token, _ in generate_step(self.mx.array(prompts[0]), self.model, max_tokens=new_tokens):
            ids.append(int(token))
            if emit:
                emit([ids[-1]])
        return {"ids": [ids], "prompt_tokens": len(prompts[0])}

    def logits(self, prompt, tokens):
        mx = self.mx
        return self.model(mx.array([prompt]))[0, -1, mx.array(tokens)].astype(mx.float32).tolist()

    def train_mnist(self, batch, kind):
        """A function that goes one step further, and the loss of the second step."""
        import mlx.nn as nn
        import mlx.optimizers
        from mlx.utils import tree_unflatten

        mx = self.mx

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
                self.pool = nn.MaxPool2d(2)
                self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

            def __call__(self, x):
                x = self.pool(nn.relu(self.conv2(nn.relu(self.conv1(x)))))
                return self.fc2(nn.relu(self.fc1(x.flatten(1))))

        images, parameters = protocol.mnist(batch)
        net, images, labels = Net(), mx.array(images).astype(kind), mx.arange(batch) % 10
        net.update(tree_unflatten([(n, mx.array(w).astype(kind)) for n, w in parameters.items()]))
        optimizer = mlx.optimizers.AdaDelta(1.0)
        loss = nn.value_and_grad(net, lambda: nn.losses.cross_entropy(net(images), labels, reduction="mean"))

        def step():
            value, gradients = loss()
            optimizer.update(net, gradients)
            mx.eval(net.parameters(), optimizer.state, value)
            return value

        step()
        return step, step()

    def op(self, name, dtype, shape, calls):
        mx = self.mx
        kind = {"f16": mx.float16, "bf16": mx.bfloat16, "f32": mx.float32}[dtype]
        key = (name, dtype, tuple(shape))
        if name == "train_mnist":
            if getattr(self, "prepared", None) != key:
                protocol.operands(name, shape)
                self.step, self.out = self.train_mnist(shape[0], kind)
                self.prepared = key
            for _ in range(calls):
                self.step()
            return {}
        if getattr(self, "prepared", None) != key:
            self.args = [
                mx.array(protocol.values(s, seed)).astype(kind)
                for seed, s in enumerate(protocol.operands(name, shape))
            ]
            mx.eval(self.args)
            self.prepared = key
        run = {
            "matmul": mx.matmul,
            "matvec": mx.matmul,
            "conv2d": mx.conv2d,
            "softmax": lambda x: mx.softmax(x, -1),
            "layer_norm": lambda x: mx.fast.layer_norm(x, None, None, 1e-5),
            "gelu": gelu(mx),
            "sum": mx.sum,
            "sort": mx.sort,
        }[name]
        for _ in range(calls):
            self.out = run(*self.args)
            mx.eval(self.out)
        return {}

    def checksum(self):
        return float(self.mx.abs(self.out.astype(self.mx.float32)).mean())

    def memory(self):
        return {
            "tensors_bytes": self.mx.get_active_memory(),
            "tensors_peak_bytes": self.mx.get_peak_memory(),
            "driver_bytes": self.mx.get_active_memory() + self.mx.get_cache_memory(),
        }

    def clear_cache(self):
        self.mx.clear_cache()


def gelu(mx):
    return mx.compile(lambda x: 0.5 * x * (1 + mx.tanh(0.7978845608 * (x + 0.044715 * x * x * x))))


if __name__ == "__main__":
    protocol.serve(Mlx())
