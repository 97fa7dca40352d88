#!/usr/bin/env python3
"""A server of tests that speaks as much of OpenAI's API as the adapter needs; its port goes to the file named."""
import http.server
import json
import sys


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self):
        self.answer("application/json", json.dumps({"data": [{"id": "a-model"}]}))

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {"prompt_tokens": len(asked["prompt"].split()), "completion_tokens": asked["max_tokens"]}
        if not asked["stream"]:
            text = "x" * asked["max_tokens"]
            return self.answer("application/json", json.dumps({"choices": [{"text": text}], "usage": usage}))
        chunks = [{"choices": [{"text": "x"}]} for _ in range(asked["max_tokens"])]
        lines = [json.dumps(c) for c in [*chunks, {"choices": [], "usage": usage}]] + ["[DONE]"]
        self.answer("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Server)
with open(sys.argv[1], "w") as file:
    file.write(str(server.server_port))
server.serve_forever()
