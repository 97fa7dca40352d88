// Any bytes as a GGUF file: an error, or tensors that lie within the file, and a configuration and
// a tokenizer or errors. Start from tests/data/gguf: gguf_fuzz -max_total_time=60 CORPUS
// tests/data/gguf
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/io/gguf.h"
#include "hearth/llm/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth;
  try {
    const std::span file(reinterpret_cast<const std::byte*>(data), size);
    const Gguf gguf = Gguf::of_bytes(file, "input");
    for (const GgufTensor& tensor : gguf.tensors())
      if (tensor.offset > size || tensor.bytes > size - tensor.offset) __builtin_trap();
    for (const auto& [key, value] : gguf.metadata()) {
      value.numbers();
      value.strings();
    }
    const auto tokenizer = llm::Tokenizer::of_gguf(gguf);
    tokenizer.decode(tokenizer.encode("It's  ab,\n\u4e16\u754c 123 \xFF<|eot_id|> the"));
  } catch (const std::runtime_error&) {
  }
  return 0;
}
