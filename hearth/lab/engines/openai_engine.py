"""Any OpenAI-compatible HTTP server: ollama, llama-server, vLLM, LM Studio. The device is its address."""
# engine: openai | generate |
import http.client
import json
import urllib.parse

import protocol
from protocol import Refusal


class OpenAI(protocol.Engine):
    options = ("model", "key")

    def hello(self, device, options):
        self.url = urllib.parse.urlsplit(device or "")
        if self.url.scheme not in ("http", "https") or not self.url.netloc:
            raise Refusal("start a server and name its address, as in --engines openai:http://127.0.0.1:8080/v1")
        self.headers = {"Content-Type": "application/json"}
        if "key" in options:
            self.headers["Authorization"] = "Bearer " + options["key"]
        try:
            response = self.ask("GET", "/models")
            models = [m["id"] for m in json.load(response)["data"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refusal(f"no answer that lists models from {device}/models: {error}")
        self.model = options.get("model") or (models[0] if models else None)
        if self.model not in models:
            raise Refusal(f"{device} has no model {self.model}; it has {', '.join(models)}")
        server = response.getheader("Server") or "unnamed server"
        return {"name": "openai", "version": f"{server}, {self.model}", "device": device, "devices": [device]}

    def ask(self, method, path, body=None):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(self.url.netloc, timeout=600)
        self.connection.request(method, self.url.path.rstrip("/") + path, json.dumps(body) if body else None, self.headers)
        response = self.connection.getresponse()
        if response.status != 200:
            raise Refusal(f"{path}: {response.status} {response.reason}: {response.read(200).decode(errors='replace')}")
        return response

    def load(self, model):
        note = "the server chose model, dtype and tokenizer; it was given the text"
        return {"sampling": "greedy", "takes_ids": False, "notes": [note]}

    def generate(self, prompts, new_tokens, emit, text):
        if not text:
            raise Refusal("a server takes text: give the job a --prompt")
        if len(prompts) > 1:
            raise Refusal("one row at a time")
        body = {"model": self.model, "prompt": text, "max_tokens": new_tokens, "temperature": 0}
        body.update({"seed": 0, "ignore_eos": True, "stream": bool(emit)})
        if emit:
            body["stream_options"] = {"include_usage": True}
        response = self.ask("POST", "/completions", body)
        usage, pieces = {}, 0
        if not emit:
            usage = json.load(response).get("usage") or {}
        for line in response if emit else ():
            data = line.decode("utf-8", "replace").removeprefix("data: ").strip()
            if not data or data == "[DONE]" or line.startswith(b":"):
                continue
            chunk = json.loads(data)
            usage = chunk.get("usage") or usage
            if any(choice.get("text") for choice in chunk.get("choices", [])) and pieces < new_tokens:
                emit(None)
                pieces += 1
        return {"new_tokens": usage.get("completion_tokens", pieces), "prompt_tokens": usage.get("prompt_tokens", 0)}


if __name__ == "__main__":
    protocol.serve(OpenAI())
