"""PyTorch: transformers' generate(), eager or compiled with a static cache; and operations."""
# engine: torch | generate op | pip install torch transformers
import protocol
from protocol import Refusal


class Torch(protocol.Engine):
    options = ("dtype", "threads", "compile", "attention")

    def hello(self, device, options):
        import torch

        self.torch, self.options_given = torch, options
        devices = ["cpu"]
        devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        devices += ["mps"] if torch.backends.mps.is_available() else []
        self.device = device or ("cuda" if torch.cuda.is_available() else devices[-1])
        if self.device not in devices and f"{self.device}:0" not in devices:
            raise Refusal(f"torch {torch.__version__} has no device {self.device} here; it has {', '.join(devices)}")
        self.gpu = torch.cuda if self.device.startswith("cuda") else torch.mps if self.device == "mps" else None
        if self.device.startswith("cuda:"):
            torch.cuda.set_device(self.device)  # memory is asked of the current one
        if "threads" in options:
            torch.set_num_threads(int(options["threads"]))
        version, lacks = torch.__version__, {}
        try:
            import transformers

            version += f", transformers {transformers.__version__}"
        except ImportError:
            lacks = {"generate": "transformers is not installed: pip install transformers"}
        return {
            "name": "torch",
            "version": version,
            "commit": getattr(torch.version, "git_version", None),
            "device": self.device,
            "devices": devices,
            "lacks": lacks,
            "counts_launches": True,
            "tells_logits": True,
        }

    def load(self, model):
        import transformers

        torch, options = self.torch, self.options_given
        transformers.utils.logging.set_verbosity_error()
        dtype = protocol.dtype_of(protocol.read_config(model), options.get("dtype"))
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            model,
            dtype={"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[dtype],
            attn_implementation=options.get("attention", "sdpa"),
            local_files_only=True,
        ).to(self.device)
        self.model.eval()
        config = self.model.generation_config
        config.eos_token_id = None  # every engine makes all the tokens
        config.pad_token_id = 0
        notes = [f"attention: {self.model.config._attn_implementation}; generate() of transformers"]
        if options.get("compile", "0") != "0":
            # generate() compiles the steps of decoding itself, by default in this mode, and only them:
            # a cache that begins its life inside a compiled prefill keeps CUDA graphs away.
            config.cache_implementation = "static"
            config.compile_config = transformers.CompileConfig(mode="reduce-overhead")
            config.compile_config._compile_all_devices = True  # the CPU too
            notes.append("torch.compile of the decoding steps, mode reduce-overhead, static cache")
        weights = list(self.model.parameters())
        return {
            "dtype": dtype,
            "weights_bytes": sum(p.numel() * p.element_size() for p in weights),
            "parameters": sum(p.numel() for p in weights),
            "threads": torch.get_num_threads(),
            "sampling": "greedy",
            "takes_ids": True,
            "notes": notes,
        }

    def generate(self, prompts, new_tokens, emit, text):
        torch = self.torch
        ids = torch.tensor(prompts, device=self.device)

        class Stream:
            seen = False

            def put(self, value):
                if self.seen:  # the first is the prompt
                    emit(value.flatten().tolist())
                self.seen = True

            def end(self):
                pass

        with torch.inference_mode():
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                do_sample=False,
                streamer=Stream() if emit else None,
            )
            return {"ids": out[:, ids.shape[1] :].tolist(), "prompt_tokens": ids.shape[1]}

    def logits(self, prompt, tokens):
        with self.torch.inference_mode():
            out = self.model(self.torch.tensor([prompt], device=self.device), use_cache=False)
            return out.logits[0, -1, tokens].float().tolist()

    def launches(self, prompts, new_tokens):
        """Of the step that makes the third token, by torch.profiler."""
        torch = self.torch
        if self.device == "mps":
            raise Refusal("torch.profiler does not see what runs on Metal")
        if not self.gpu and self.options_given.get("compile", "0") != "0":
            raise Refusal("torch.profiler does not see the kernels that torch.compile makes for processors")
        kinds = torch.profiler.ProfilerActivity
        profiler = torch.profiler.profile(activities=[kinds.CPU] + [kinds.CUDA] * bool(self.gpu))
        came = 0

        def emit(ids):  # they are on the host, so the device has nothing left of their step
            nonlocal came
            came += 1
            if came == 2:
                profiler.start()
            if came == 3:
                profiler.stop()

        self.generate(prompts, new_tokens, emit, None)
        events = profiler.events()
        if not self.gpu:
            outermost = [e for e in events if e.name.startswith("aten::") and not e.cpu_parent]
            return {"launches": sum(self.computing(e) for e in outermost), "replayed": 0}
        on_gpu = torch.autograd.DeviceType.CUDA
        kernels = [e for e in events if e.device_type == on_gpu and not e.name.startswith(("Memcpy", "Memset"))]
        if not kernels:
            raise Refusal("torch.profiler saw no kernel on the GPU")
        sent = sum(e.name.startswith(("cudaLaunchKernel", "cuLaunchKernel")) for e in events)
        return {"launches": sent, "replayed": max(0, len(kernels) - sent)}  # the rest is in graphs

    def computing(self, event):
        """1 for an operator that computes; of one that only views or allocates, those within it."""
        aten, name = self.torch.ops.aten, event.name.removeprefix("aten::")
        packet = getattr(aten, name, None)
        if packet is not None:
            returns = getattr(packet, packet.overloads()[0])._schema.returns
            tensors = [r for r in returns if "Tensor" in str(r.type)]
            views = all(r.alias_info and not r.alias_info.is_write for r in tensors)
            if views or name.startswith("empty") or name == "dropout":  # which only trains
                return sum(self.computing(e) for e in event.cpu_children)
        return 1

    def train_mnist(self, batch, kind):
        """A function that goes one step further, and the loss of the second step."""
        torch, f = self.torch, self.torch.nn.functional
        images, parameters = protocol.mnist(batch)
        net = torch.nn.ModuleDict({
            "conv1": torch.nn.Conv2d(1, 32, 3),
            "conv2": torch.nn.Conv2d(32, 64, 3),
            "fc1": torch.nn.Linear(9216, 128),
            "fc2": torch.nn.Linear(128, 10),
        })
        for name, value in parameters.items():  # OHWI to OIHW
            value = torch.from_numpy(value)
            net.get_parameter(name).data = value.permute(0, 3, 1, 2) if value.ndim == 4 else value
        net.to(self.device, kind)
        images = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device, kind)
        labels = torch.arange(batch, device=self.device) % 10
        optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)

        def step():
            x = f.max_pool2d(f.relu(net["conv2"](f.relu(net["conv1"](images)))), 2)
            x = f.relu(net["fc1"](x.permute(0, 2, 3, 1).flatten(1)))
            loss = f.cross_entropy(net["fc2"](x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        step()
        return step, step()

    def op(self, name, dtype, shape, calls):
        torch = self.torch
        kind = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[dtype]
        key = (name, dtype, tuple(shape))
        if name == "train_mnist":
            if getattr(self, "prepared", None) != key:
                protocol.operands(name, shape)
                self.step, self.out = self.train_mnist(shape[0], kind)
                self.prepared = key
            for _ in range(calls):
                self.step()
            if self.gpu:
                self.gpu.synchronize()
            return {}
        if getattr(self, "prepared", None) != key:
            self.args = [
                torch.from_numpy(protocol.values(s, seed)).to(kind).to(self.device)
                for seed, s in enumerate(protocol.operands(name, shape))
            ]
            if name == "conv2d":  # to NCHW and OIHW, the memory stays
                self.args = [a.permute(0, 3, 1, 2) for a in self.args]
            self.prepared = key
        f = torch.nn.functional
        run = {
            "matmul": torch.matmul,
            "matvec": torch.mv,
            "conv2d": f.conv2d,
            "softmax": lambda x: torch.softmax(x, -1),
            "layer_norm": lambda x: f.layer_norm(x, x.shape[-1:]),
            "gelu": lambda x: f.gelu(x, approximate="tanh"),
            "sum": torch.sum,
            "sort": lambda x: torch.sort(x)[0],
        }[name]
        with torch.inference_mode():
            for _ in range(calls):
                out = run(*self.args)
            if self.gpu:
                self.gpu.synchronize()
        self.out = out
        return {}

    def checksum(self):
        return float(self.out.float().abs().mean())

    def memory(self):
        if self.device.startswith("cuda"):
            free, total = self.torch.cuda.mem_get_info()
            return {
                "tensors_bytes": self.torch.cuda.memory_allocated(),
                "tensors_peak_bytes": self.torch.cuda.max_memory_allocated(),
                "driver_bytes": self.torch.cuda.memory_reserved(),
                "device_used_bytes": total - free,
            }
        if self.device == "mps":
            return {
                "tensors_bytes": self.torch.mps.current_allocated_memory(),
                "driver_bytes": self.torch.mps.driver_allocated_memory(),
            }
        return {}  # torch does not count the host's tensors

    def clear_cache(self):
        if self.gpu:
            self.gpu.empty_cache()


if __name__ == "__main__":
    protocol.serve(Torch())
