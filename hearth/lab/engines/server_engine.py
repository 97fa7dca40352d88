"""A server of models: started by a command, or named by its address. It speaks OpenAI's API (vLLM,
mlx_lm.server, llama-cpp-python, TGI, LM Studio), ollama's or llama.cpp's."""
# engine: server | generate |
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import protocol
from protocol import Refusal

# Where servers listen that are not told where.
USUAL_PORTS = {"ollama": 11434, "llama-server": 8080, "vllm": 8000, "mlx_lm.server": 8080, "llama_cpp.server": 8000,
               "text-generation-launcher": 3000}

UNNAMED = "its model"


class Server:
    """The HTTP side: requests, and what an API makes of them."""

    name = None  # as its answers call it
    early = False  # it was asked before it listened, or while it loaded

    def __init__(self, url, key=None):
        self.url = urllib.parse.urlsplit(url)
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = "Bearer " + key

    def ask(self, method, path, body=None, timeout=86400):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(self.url.netloc, timeout=timeout)
        data = None if body is None else json.dumps(body)
        try:
            self.connection.request(method, self.url.path.rstrip("/") + path, data, self.headers)
        except ConnectionRefusedError:
            self.early = True
            raise
        response = self.connection.getresponse()
        self.early |= response.status == 503
        self.name = response.getheader("Server") or self.name
        if response.status != 200:
            said = response.read(300).decode(errors="replace").replace("\n", " ")
            raise Refused(f"{path}: {response.status} {response.reason}: {said}", response.status)
        return response

    def get(self, path):
        """What it answers as JSON; None where it does not."""
        try:
            response = self.ask("GET", path, timeout=10)
            answer = json.load(response)
        except (OSError, ValueError, http.client.HTTPException, Refusal):
            return None
        return answer if isinstance(answer, dict) else None

    def chunks(self, response):
        """The objects of a stream: lines of JSON, or of server-sent events."""
        for line in response:
            data = line.decode("utf-8", "replace").strip()
            if data.startswith(":") or data.startswith("event:"):
                continue
            data = data.removeprefix("data:").strip()
            if not data or data == "[DONE]":
                continue
            chunk = json.loads(data)
            if isinstance(chunk, dict) and chunk.get("error"):
                raise Refusal(f"the server stopped: {chunk['error']}")
            yield chunk


class Refused(Refusal):
    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


class OpenAI(Server):
    note = "the server chose model, dtype and tokenizer; it was given the text"
    base = ""

    def ready(self):
        for self.base in ("", "/v1") if not self.url.path.rstrip("/").endswith("/v1") else ("",):
            answer = self.get(self.base + "/models")
            if answer and isinstance(answer.get("data"), list):
                self.models = [m["id"] for m in answer["data"] if isinstance(m, dict) and "id" in m]
                return True
        # One that lists none (mlx_lm.server without a cache of the Hub's) may answer all the same.
        try:
            answer = json.load(self.ask("POST", self.base + "/completions", {"prompt": "a", "max_tokens": 1}, 60))
        except (OSError, ValueError, http.client.HTTPException, Refusal):
            return False
        if not isinstance(answer, dict) or not answer.get("choices"):
            return False
        self.models = [answer.get("model") or UNNAMED]
        return True

    def version(self):
        return self.name or "unnamed server"

    def generate(self, model, text, new_tokens, emit):
        body = {"prompt": text, "max_tokens": new_tokens, "temperature": 0, "stream": bool(emit)}
        if model != UNNAMED:
            body["model"] = model
        if emit:
            body["stream_options"] = {"include_usage": True}
        extras = {"seed": 0, "ignore_eos": True, "cache_prompt": False}
        try:
            response = self.ask("POST", self.base + "/completions", {**body, **(extras if self.extras else {})})
        except Refused as refused:
            if refused.status not in (400, 422) or not self.extras:
                raise
            self.extras = False  # it wants no field that it does not know
            response = self.ask("POST", self.base + "/completions", body)
        usage, pieces = {}, 0
        if not emit:
            usage = json.load(response).get("usage") or {}
        for chunk in self.chunks(response) if emit else ():
            usage = chunk.get("usage") or usage
            if any(choice.get("text") for choice in chunk.get("choices") or []) and pieces < new_tokens:
                emit(None)
                pieces += 1
        return {"new_tokens": usage.get("completion_tokens", pieces), "prompt_tokens": usage.get("prompt_tokens", 0)}

    extras = True


class LlamaCpp(Server):
    note = "the server chose dtype and tokenizer; it was given the text, and its cache of prompts was off"

    def ready(self):
        answer = self.get("/props")
        if not answer or "default_generation_settings" not in answer:
            return False
        self.models = [answer.get("model_alias") or answer.get("model_path") or "its model"]
        self.build = answer.get("build_info") or "llama.cpp"
        return True

    def version(self):
        return self.build

    def generate(self, model, text, new_tokens, emit):
        body = {"prompt": text, "n_predict": new_tokens, "temperature": 0, "seed": 0, "ignore_eos": True}
        response = self.ask("POST", "/completion", {**body, "cache_prompt": False, "stream": bool(emit)})
        pieces, last = 0, {}
        for last in self.chunks(response) if emit else (json.load(response),):
            if emit and not last.get("stop") and pieces < new_tokens:
                emit(None)
                pieces += 1
        return {"new_tokens": last.get("tokens_predicted", pieces), "prompt_tokens": last.get("tokens_evaluated", 0),
                "own": last.get("timings") or {}}


class Ollama(Server):
    note = ("the server chose dtype and tokenizer; it was given the text. It keeps the prompt of the request before, "
            "and ends where the model does")

    def ready(self):
        answer = self.get("/api/version")
        models = answer and self.get("/api/tags")
        if not models or not isinstance(models.get("models"), list):
            return False
        self.build = f"ollama {answer.get('version', '')}".strip()
        self.models = [m["name"] for m in models["models"] if isinstance(m, dict) and "name" in m]
        return True

    def version(self):
        return self.build

    def generate(self, model, text, new_tokens, emit):
        options = {"temperature": 0, "seed": 0, "num_predict": new_tokens}
        body = {"model": model, "prompt": text, "raw": True, "stream": bool(emit), "keep_alive": "1h"}
        response = self.ask("POST", "/api/generate", {**body, "options": options})
        pieces, last = 0, {}
        for last in self.chunks(response):  # one line where it does not stream
            if emit and not last.get("done") and pieces < new_tokens:
                emit(None)
                pieces += 1
        own = {key[:-9] + "_s": value / 1e9 for key, value in last.items()
               if key.endswith("_duration") and isinstance(value, (int, float))}
        return {"new_tokens": last.get("eval_count", pieces), "prompt_tokens": last.get("prompt_eval_count", 0),
                "own": own}


APIS = {"ollama": Ollama, "llama.cpp": LlamaCpp, "openai": OpenAI}  # in the order in which they are tried


class ServerEngine(protocol.Engine):
    options = ("command", "url", "model", "key", "api")
    how = "name a command that starts a server, as in --engines 'server:llama-server -m model.gguf --port {port}'"
    process = None

    def hello(self, device, options):
        command = options.get("command")
        url = self.address(command, options.get("url") or device)
        if urllib.parse.urlsplit(url).scheme not in ("http", "https") or not urllib.parse.urlsplit(url).netloc:
            raise Refusal(f"{url} is no address; wanted one as http://127.0.0.1:8080")
        if command:
            self.start(command.replace("{port}", str(urllib.parse.urlsplit(url).port or 80)), url)
        self.api = self.wait(url, options)
        models = self.api.models
        self.model = options.get("model") or (models[0] if models else None)
        if self.model not in models:
            raise Refusal(f"{url} has no model {self.model}; it has {', '.join(map(str, models)) or 'none'}")
        answer = {"name": "server", "version": f"{self.api.version()}, {self.model}", "device": url, "devices": [url]}
        return {**answer, "pid": self.process.pid} if self.process else answer

    def address(self, command, url):
        if url:
            return url
        if not command:
            raise Refusal(self.how)
        if "{port}" in command:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                return f"http://127.0.0.1:{free.getsockname()[1]}"
        told = re.search(r"--port[ =](\d+)", command)
        usual = [port for name, port in USUAL_PORTS.items() if re.search(rf"(^|[\s/]){re.escape(name)}(\s|$)", command)]
        if told or usual:
            return f"http://127.0.0.1:{told.group(1) if told else usual[0]}"
        raise Refusal("where does it listen? Write {port} where the command takes its port, or begin with "
                      "url=http://127.0.0.1:8080")

    def start(self, command, url):
        where = urllib.parse.urlsplit(url)
        port = where.port or (443 if where.scheme == "https" else 80)
        with socket.socket() as one:
            one.settimeout(2)
            if one.connect_ex((where.hostname, port)) == 0:
                raise Refusal(f"{url} is taken before the server is started; end what listens there, or write {{port}} "
                              "where the command takes its port")
        # In the group of this process: whoever ends or stops the one does so with the other.
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)

    def wait(self, url, options):
        wanted = options.get("api")
        if wanted and wanted not in APIS:
            raise Refusal(f"no API {wanted}; there are {', '.join(APIS)}")
        apis = [kind(url, options.get("key")) for name, kind in APIS.items() if wanted in (None, name)]
        deadline = time.monotonic() + (self.timeout if self.process else 0)
        while True:
            for api in apis:
                api.early = False
            found = next((api for api in apis if api.ready()), None)
            late = time.monotonic() >= deadline
            # One that came up between two questions did not hear the first: asked again, it may speak another API.
            if found and (late or not any(api.early for api in apis)):
                return found
            if self.process and self.process.poll() is not None:
                raise Refusal(f"the server ended with exit code {self.process.returncode}{self.last_words()}")
            if late:
                raise Refusal(f"no answer that lists models from {url}{self.last_words()}")
            time.sleep(0.05)

    def last_words(self):
        if not self.process:
            return ""
        self.log.seek(max(0, self.log.seek(0, 2) - 2000))
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"; its last words: {lines[-1].strip()}" if lines else ""

    def load(self, model):
        return {"sampling": "greedy", "takes_ids": False, "notes": [self.api.note]}

    def generate(self, prompts, new_tokens, emit, text):
        if not text:
            raise Refusal("a server takes text: give the job a --prompt")
        if len(prompts) > 1:
            raise Refusal("one row at a time")
        try:
            return self.api.generate(self.model, text, new_tokens, emit)
        except (OSError, http.client.HTTPException) as error:
            try:
                ended = self.process and self.process.wait(0.5) is not None
            except subprocess.TimeoutExpired:
                ended = False
            if ended:
                raise Refusal(f"the server ended with exit code {self.process.returncode}{self.last_words()}")
            raise Refusal(f"the server broke off: {type(error).__name__}: {error}")

    def end(self):
        if not self.process or self.process.poll() is not None:
            return
        if os.getpgrp() == os.getpid():  # a shell does not pass the signal on
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
        else:
            self.process.terminate()
        try:
            self.process.wait(1.5)
        except subprocess.TimeoutExpired:
            self.process.kill()


if __name__ == "__main__":
    protocol.serve(ServerEngine())
