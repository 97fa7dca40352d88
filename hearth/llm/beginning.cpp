#include "hearth/llm/beginning.h"

#include <algorithm>
#include <utility>

#include "hearth/llm/prefill.h"

namespace hearth::llm {

namespace {

/// Are rows of so many tokens turned by the same frequencies?
bool same_rope(const LanguageModel::Facts& facts, int a, int b) {
  const bool same_side = (a > facts.first_context) == (b > facts.first_context);
  const bool plain = std::max(a, b) <= facts.dynamic_from;
  return (facts.first_context == 0 || same_side) && (facts.dynamic_from == 0 || plain);
}

constexpr int kRest = kFewRows + 1;  // the shortest piece that piece_end cuts off

}  // namespace

std::optional<RowState> shared_beginning(const LanguageModel& model, const Beginning& held,
                                         std::span<const int> prompt, bool same_bits, int chunk) {
  if (prompt.empty() || !same_rope(model.facts, held.row.read_as, int(prompt.size()))) return {};
  const auto differs =
      std::mismatch(held.ids.begin(), held.ids.end(), prompt.begin(), prompt.end() - 1).first;
  int most = int(differs - held.ids.begin());
  if (same_bits)
    most = std::max(0, std::min({most, held.prompt, int(prompt.size()) - kRest})) / chunk * chunk;
  // Where it cannot be cut back to there, perhaps to the mark before it.
  for (const int length : {most, std::min(most, held.row.mark)}) {
    if (length == 0 || (same_bits && length % chunk != 0)) continue;
    if (auto row = first_tokens(model.cache_shape(), held.row, length)) return row;
  }
  return {};
}

Generated generate_after(Beginning& held, bool same_bits, LanguageModel& model,
                         std::span<const int> prompt, GenerateOptions options, const Sink& sink,
                         const Tokenizer* tokenizer) {
  const int written = held.prompt, chunk = BatcherOptions().prefill_chunk;
  options.begun = shared_beginning(model, held, prompt, same_bits, chunk);
  options.keep_state = true;
  held = {};
  const int reused = options.begun ? options.begun->length : 0;
  Generated out = generate(model, prompt, std::move(options), sink, tokenizer);
  if (!out.state) return out;
  held.ids.assign(prompt.begin(), prompt.end());
  held.ids.insert(held.ids.end(), out.ids.begin(), out.ids.end());
  held.row = *std::exchange(out.state, std::nullopt);
  held.ids.resize(size_t(held.row.length));
  // Chunks were cut as in a fresh run only behind whole ones.
  const bool fresh = reused <= written && reused % chunk == 0;
  held.prompt = fresh ? out.read_tokens : std::min(reused, written);
  return out;
}

}  // namespace hearth::llm
