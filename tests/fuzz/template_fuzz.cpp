// Any bytes as a chat template: an error, or a text. What follows a zero byte are the messages.
// Start from tests/data/templates: template_fuzz -max_total_time=60 CORPUS SEEDS
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "hearth/llm/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth::llm;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t zero = all.find('\0');
  Conversation c;
  c.messages = R"([{"role": "user", "content": "It's <b> \u4e16\u754c"},
                   {"role": "assistant", "content": [{"type": "text", "text": "a"}], "n": 1.5}])";
  if (zero != all.npos) c.messages = all.substr(zero + 1);
  c.tools = R"([{"type": "function", "function": {"name": "f", "parameters": {"a": [1, null]}}}])";
  c.now = std::tm{};
  try {
    const Rendered rendered = ChatTemplate::parse(all.substr(0, zero), "t").render(c);
    if (rendered.text().size() > (size_t(1) << 27)) __builtin_trap();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
