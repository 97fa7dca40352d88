// Any bytes as a tokenizer's file of any kind: an error, or a tokenizer that encodes and decodes
// without a crash. Start from tests/fuzz/tokenizer_seeds:
//     tokenizer_fuzz -max_total_time=60 CORPUS SEEDS
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/llm/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::llm;
  try {
    const auto tokenizer =
        Tokenizer::from_json({reinterpret_cast<const char*>(data), size}, "gpt2");
    const auto ids = tokenizer.encode("<s>It's  abab,\n\u4e16\u754c 12 \xFF\xF0\x9F</s> a");
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const int id : ids) streamed += stream.push(id);
    if (streamed + stream.finish() != tokenizer.decode(ids)) __builtin_trap();
    const Tokenizer::Piece pieces[] = {{"<s>a"}, {"</s> <s>ab\u0301", false}, {" b</s>"}};
    tokenizer.decode(tokenizer.encode(pieces), true);
  } catch (const std::runtime_error&) {
  }
  return 0;
}
