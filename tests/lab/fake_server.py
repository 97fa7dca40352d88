#!/usr/bin/env python3
"""A server of tests that speaks as much of an API as the adapter needs: fake_server.py PORT [api] [fault].

PORT is a number, or a file that its number goes to. The API is openai, llama.cpp or ollama. Faults: slowN (answers 503
to its first N requests), early (two tokens fewer), strict (knows no other fields), dies (at the first request for
tokens), broken (no JSON), silent (ends before it listens), listless (lists no models)."""
import http.server
import json
import os
import sys

port, api, fault = (sys.argv[1:] + ["openai", ""][len(sys.argv) - 2:])[:3]
if fault == "silent":
    sys.exit("no such model")
asked_before = 0
slow = int(fault.removeprefix("slow")) if fault.startswith("slow") else 0


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, body, kind="application/json", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

    def do_GET(self):
        global asked_before
        asked_before += 1
        if asked_before <= slow:
            return self.answer({"error": "loading"}, status=503)
        known = {"openai": {"/v1/models": {"data": [{"id": "a-model"}, {"id": "b-model"}]}},
                 "llama.cpp": {"/props": {"default_generation_settings": {}, "model_path": "a-model",
                                          "build_info": "b1234"},
                               "/v1/models": {"data": [{"id": "a-model"}]}},
                 "ollama": {"/api/version": {"version": "0.9"},
                            "/api/tags": {"models": [{"name": "a-model"}, {"name": "b-model"}]}}}[api]
        body = None if fault == "listless" else known.get(self.path)
        self.answer(body or {"error": "not found"}, status=200 if body else 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if fault == "dies":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(3)
        if fault == "broken":
            return self.answer("<html>oops</html>")
        if fault == "strict" and not set(asked) <= {"model", "prompt", "max_tokens", "temperature", "stream",
                                                    "stream_options"}:
            return self.answer({"error": "unexpected field"}, status=422)
        n = asked.get("max_tokens") or asked.get("n_predict") or asked["options"]["num_predict"]
        n -= 2 if fault == "early" else 0
        words = len(asked["prompt"].split())
        if api == "ollama":
            assert asked["raw"] and asked["options"]["temperature"] == 0, asked
            last = {"done": True, "response": "", "eval_count": n, "prompt_eval_count": words,
                    "eval_duration": 2000000, "load_duration": 1000}
            chunks = [{"response": "x", "done": False}] * n if asked["stream"] else []
            return self.answer("".join(json.dumps(c) + "\n" for c in [*chunks, last]), "application/x-ndjson")
        if api == "llama.cpp":
            assert asked["cache_prompt"] is False and asked["ignore_eos"] is True, asked
            last = {"content": "", "stop": True, "tokens_predicted": n, "tokens_evaluated": words,
                    "timings": {"predicted_ms": 2.5}}
            chunks = [{"content": "x", "stop": False}] * n
        else:
            usage = {"prompt_tokens": words, "completion_tokens": n}
            last = {"choices": [] if asked.get("stream") else [{"text": "x" * n}], "usage": usage}
            chunks = [{"choices": [{"text": "x"}]}] * n
        if not asked.get("stream"):
            return self.answer(last)
        lines = [json.dumps(c) for c in [*chunks, last]] + ["[DONE]"] * (api == "openai")
        self.answer("".join(f"data: {line}\n\n" for line in lines), "text/event-stream")

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(port) if port.isdigit() else 0), Server)
if not port.isdigit():
    with open(port, "w") as file:
        file.write(str(server.server_port))
server.serve_forever()
