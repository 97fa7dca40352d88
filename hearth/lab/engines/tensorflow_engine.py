"""TensorFlow: operations, as graph functions."""
# engine: tensorflow | op | pip install tensorflow-cpu
import os

import protocol
from protocol import Refusal


class TensorFlow(protocol.Engine):
    def hello(self, device, options):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        self.tf = tf
        devices = ["cpu"] + (["gpu"] if tf.config.list_physical_devices("GPU") else [])
        self.device = device or devices[-1]
        if self.device not in devices:
            raise Refusal(f"tensorflow has no device {device} here; it has {', '.join(devices)}")
        return {"name": "tensorflow", "version": tf.__version__, "device": self.device, "devices": devices}

    def op(self, name, dtype, shape, calls):
        tf = self.tf
        key = (name, dtype, tuple(shape))
        with tf.device(f"/{self.device}:0"):
            if getattr(self, "prepared", None) != key:
                kind = {"f16": tf.float16, "bf16": tf.bfloat16, "f32": tf.float32}[dtype]
                self.args = [
                    tf.cast(tf.constant(protocol.values(s, i)), kind)
                    for i, s in enumerate(protocol.operands(name, shape))
                ]
                if name == "conv2d":
                    self.args[1] = tf.transpose(self.args[1], (1, 2, 3, 0))  # OHWI to HWIO
                self.run = tf.function(runs(tf)[name])
                self.prepared = key
            for _ in range(calls):
                self.out = self.run(*self.args)
            self.out[(0,) * self.out.ndim].numpy() if self.out.ndim else self.out.numpy()  # waits for it
        return {}

    def checksum(self):
        return float(self.tf.reduce_mean(self.tf.abs(self.tf.cast(self.out, self.tf.float32))))


def runs(tf):
    def layer_norm(x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + tf.cast(1e-5, x.dtype))

    return {
        "matmul": tf.matmul,
        "matvec": tf.linalg.matvec,
        "conv2d": lambda x, w: tf.nn.conv2d(x, w, 1, "VALID"),
        "softmax": tf.nn.softmax,
        "layer_norm": layer_norm,
        "gelu": lambda x: tf.nn.gelu(x, approximate=True),
        "sum": tf.reduce_sum,
        "sort": tf.sort,
    }


if __name__ == "__main__":
    protocol.serve(TensorFlow())
