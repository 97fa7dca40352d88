#!/usr/bin/env python3
"""The same job (10 prompt tokens, 190 new, greedy, Phi-2's shape, random weights, f16) through
transformers, eager and compiled with a static cache. Prints tokens/s of decoding, as hearth counts
them: (N - 1) tokens over the time from the first to the last."""
import argparse
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, StaticCache


def decode_rate(model, step, cache, prompt, new):
    position = torch.arange(prompt.shape[1], device="cuda")
    logits = model(prompt, past_key_values=cache, cache_position=position).logits
    token = logits[:, -1:].argmax(-1)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for i in range(new - 1):
        at = torch.tensor([prompt.shape[1] + i], device="cuda")
        token = step(token, cache, at).logits[:, -1:].argmax(-1).clone()
    torch.cuda.synchronize()
    return (new - 1) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--tokens", type=int, default=190)
    parser.add_argument("--prefill", type=int, default=512)
    args = parser.parse_args()
    config = AutoConfig.from_pretrained(args.config)
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float16).eval()
    prompt = torch.arange(1, 11, device="cuda")[None]
    import transformers

    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    with torch.inference_mode():
        def eager(token, cache, at):
            return model(token, past_key_values=cache, cache_position=at)

        for name in ("eager", "compiled"):
            step = eager if name == "eager" else torch.compile(eager, mode="reduce-overhead", fullgraph=False)
            rates = []
            for _ in range(4):
                cache = StaticCache(config=config, max_batch_size=1, max_cache_len=256,
                                    device="cuda", dtype=torch.float16)
                rates.append(decode_rate(model, step, cache, prompt, args.tokens))
            print(f"transformers {name}: decode {sorted(rates[1:])[1]:.1f} tokens/s ({rates})", flush=True)
        ids = torch.randint(0, config.vocab_size, (1, args.prefill), device="cuda")
        times = []
        for _ in range(6):
            torch.cuda.synchronize()
            start = time.perf_counter()
            model(ids, logits_to_keep=1)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        print(f"transformers eager: prefill {args.prefill / sorted(times[1:])[2]:.0f} tokens/s")


if __name__ == "__main__":
    main()
