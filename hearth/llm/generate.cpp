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
  return prefill_s > 0 ? prompt_tokens / prefill_s : 0;
}
double Generated::decode_tokens_per_s() const {
  return ids.size() > 1 && decode_s > 0 ? double(ids.size() - 1) / decode_s : 0;
}

Generated generate(LanguageModel& model, std::span<const int> prompt,
                   const GenerateOptions& options, const Sink& sink, const Tokenizer* tokenizer) {
  check(tokenizer || options.stop_texts.empty(), "generate: stop texts need a tokenizer");
  Generated out;
  out.prompt_tokens = int(prompt.size());
  out.stopped_by = "length";
  const std::vector<int> row(prompt.begin(), prompt.end());
  TokenStream tokens(model, {row}, options.sampling, options.max_tokens, options.prefill_chunk,
                     options.stop_ids);
  StopTexts stops(options.stop_texts);
  std::optional<StreamDecoder> decoder;
  if (tokenizer) decoder.emplace(*tokenizer, /*skip_special=*/true);

  const auto start = Clock::now();
  Clock::time_point first, last;
  auto emit = [&](int id, std::string text) {
    out.text += text;
    return !sink || sink(id, text);
  };
  for (auto step = tokens.next(); !step.empty(); step = tokens.next()) {
    const int id = step[0];
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end()) {
      out.stopped_by = "token";
      break;
    }
    last = Clock::now();
    if (out.ids.empty()) first = last;
    out.ids.push_back(id);
    if (options.sampling.logprobs > 0) out.logprobs.push_back(tokens.likely()[0]);
    bool hit = false;
    const bool go_on = emit(id, decoder ? stops.push(decoder->push(id), hit) : std::string());
    if (hit) out.stopped_by = "text";
    if (hit || !go_on) {
      if (!hit) out.stopped_by = "caller";
      break;
    }
  }
  out.prefill_s = tokens.prefill_s();
  if (decoder && out.stopped_by != "text") {
    bool hit = false;
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
