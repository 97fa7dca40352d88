#include "hearth/llm/generate.h"

#include <algorithm>
#include <chrono>

#include "hearth/base/error.h"
#include "hearth/llm/stop_texts.h"

namespace hearth::llm {

namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

double Generated::prefill_tokens_per_s() const {
  return prefill_s > 0 ? (prompt_tokens - reused_tokens) / prefill_s : 0;
}
double Generated::decode_tokens_per_s() const {
  return ids.size() > 1 && decode_s > 0 ? double(ids.size() - 1) / decode_s : 0;
}

Generated generate(LanguageModel& model, std::span<const int> prompt, GenerateOptions options,
                   const Sink& sink, const Tokenizer* tokenizer) {
  check(tokenizer || options.stop_texts.empty(), "generate: stop texts need a tokenizer");
  Generated out;
  out.prompt_tokens = int(prompt.size());
  out.reused_tokens = options.begun ? options.begun->length : 0;
  StopTexts stops(options.stop_texts);
  std::optional<StreamDecoder> decoder;
  if (tokenizer) decoder.emplace(*tokenizer, /*skip_special=*/true);

  const auto start = Clock::now();
  Clock::time_point first, last;
  auto emit = [&](int id, std::string text) {
    out.text += text;
    return !sink || sink(id, text);
  };
  bool hit = false;  // a stop text
  const auto ends = [&](const NewToken& token) {
    last = Clock::now();
    if (out.ids.empty()) first = last;
    out.ids.push_back(token.id);
    if (options.sampling.logprobs > 0) out.logprobs.push_back(token.likely);
    const bool go_on =
        emit(token.id, decoder ? stops.push(decoder->push(token.id), hit) : std::string());
    return hit || !go_on;
  };

  Batcher batcher(model);
  batcher.add({.prompt = {prompt.begin(), prompt.end()},
               .sampling = options.sampling,
               .stop_ids = options.stop_ids,
               .max_tokens = options.max_tokens,
               .until = ends,
               .begun = std::move(options.begun),  // gone as soon as it is copied
               .keep_state = options.keep_state,
               .draft = options.draft});
  while (!batcher.idle())
    for (Batcher::Event& event : batcher.step()) {
      if (event.error) std::rethrow_exception(event.error);
      out.prefill_s += event.prefill_s;
      out.drafts = event.drafts;
      if (event.end == Batcher::End::none) continue;
      out.stopped_by = hit                                  ? "text"
                       : event.end == Batcher::End::stop_id ? "token"
                       : event.end == Batcher::End::caller  ? "caller"
                                                            : "length";
      out.state = std::move(event.state);
      out.read_tokens = event.read_tokens;
    }
  if (decoder && !hit) {
    std::string rest = stops.push(decoder->finish(), hit);
    if (!hit) rest += stops.rest();
    if (!rest.empty()) emit(out.ids.empty() ? -1 : out.ids.back(), rest);
  }
  if (!out.ids.empty()) {
    out.time_to_first_token_s = seconds(start, first);
    out.decode_s = seconds(first, last);
  }
  return out;
}

}  // namespace hearth::llm
