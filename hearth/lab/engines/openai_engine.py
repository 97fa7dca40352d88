"""Any OpenAI-compatible HTTP server that runs already: ollama, llama-server, vLLM, LM Studio. The device is its address."""
# engine: openai | generate |
import protocol
import server_engine


class OpenAI(server_engine.ServerEngine):
    options = ("model", "key")
    how = "start a server and name its address, as in --engines openai:http://127.0.0.1:8080/v1"

    def hello(self, device, options):
        return {**super().hello(device, {**options, "api": "openai"}), "name": "openai"}


if __name__ == "__main__":
    protocol.serve(OpenAI())
