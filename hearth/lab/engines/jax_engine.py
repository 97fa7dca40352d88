"""JAX: operations, compiled by XLA."""
# engine: jax | op | pip install jax
import protocol
from protocol import Refusal


class Jax(protocol.Engine):
    def hello(self, device, options):
        import jax

        self.jax = jax
        devices = sorted({d.platform for kind in ("cpu", None) for d in jax.devices(kind)})
        self.device = device or jax.devices()[0].platform
        if self.device not in devices:
            raise Refusal(f"jax has no device {device} here; it has {', '.join(devices)}")
        return {"name": "jax", "version": jax.__version__, "device": self.device, "devices": devices}

    def op(self, name, dtype, shape, calls):
        jax, jnp = self.jax, self.jax.numpy
        key = (name, dtype, tuple(shape))
        if getattr(self, "prepared", None) != key:
            kind = {"f16": jnp.float16, "bf16": jnp.bfloat16, "f32": jnp.float32}[dtype]
            place = jax.devices(self.device)[0]
            self.args = [
                jax.device_put(jnp.asarray(protocol.values(s, i)).astype(kind), place)
                for i, s in enumerate(protocol.operands(name, shape))
            ]
            self.run = jax.jit(runs(jax)[name])
            self.prepared = key
        for _ in range(calls):
            self.out = self.run(*self.args).block_until_ready()
        return {}

    def checksum(self):
        return float(self.jax.numpy.abs(self.out.astype("float32")).mean())


def runs(jax):
    jnp = jax.numpy
    layout = ("NHWC", "OHWI", "NHWC")
    return {
        "matmul": jnp.matmul,
        "matvec": jnp.matmul,
        "conv2d": lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=layout),
        "softmax": lambda x: jax.nn.softmax(x, -1),
        "layer_norm": lambda x: jax.nn.standardize(x, -1, epsilon=1e-5),
        "gelu": lambda x: jax.nn.gelu(x, approximate=True),
        "sum": jnp.sum,
        "sort": jnp.sort,
    }


if __name__ == "__main__":
    protocol.serve(Jax())
