#include "hearth/llm/generate.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "hearth/llm/decoder.h"
#include "hearth/llm/finite.h"
#include "hearth/llm/stop_texts.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

void check_prompt(const LanguageModel::Facts& facts, std::span<const int> prompt) {
  check(!prompt.empty(), "generate: the prompt has no tokens");
  for (int id : prompt)
    check(id >= 0 && id < facts.vocab_size, "generate: token ", id, " is not in the vocabulary of ",
          facts.vocab_size);
  check(int(prompt.size()) <= facts.context_length, "generate: the prompt has ", prompt.size(),
        " tokens, the model's context is ", facts.context_length, "; shorten the prompt");
}

}  // namespace

double Generated::prefill_tokens_per_s() const {
  return prefill_s > 0 ? prompt_tokens / prefill_s : 0;
}
double Generated::decode_tokens_per_s() const {
  return ids.size() > 1 && decode_s > 0 ? double(ids.size() - 1) / decode_s : 0;
}

array prefill(LanguageModel& model, KvCache& cache, std::span<const int> prompt, int chunk) {
  check(chunk > 0, "prefill: chunks of ", chunk, " tokens; wanted at least 1");
  for (size_t at = 0;; at += size_t(chunk)) {
    const int n = int(std::min(prompt.size() - at, size_t(chunk)));
    const array tokens(prompt.begin() + long(at), Shape{1, n}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);  // (1, 1, vocab)
    logits.eval();
    if (at + size_t(n) == prompt.size()) return reshape(logits, {1, logits.shape(2)});
  }
}

Generated generate(LanguageModel& model, std::span<const int> prompt,
                   const GenerateOptions& options, const Sink& sink, const Tokenizer* tokenizer) {
  check_prompt(model.facts, prompt);
  check(options.max_tokens > 0, "generate: ", options.max_tokens,
        " tokens asked; wanted at least 1");
  check(tokenizer || options.stop_texts.empty(), "generate: stop texts need a tokenizer");
  Generated out;
  out.prompt_tokens = int(prompt.size());
  out.stopped_by = "length";
  Sampler sampler(options.sampling, model.facts.vocab_size, {{prompt.begin(), prompt.end()}});
  StopTexts stops(options.stop_texts);
  std::optional<StreamDecoder> decoder;
  if (tokenizer) decoder.emplace(*tokenizer, /*skip_special=*/true);
  KvCache cache = model.make_cache();
  // The last token needs no room: its logits are never asked for.
  const int room = model.facts.context_length - out.prompt_tokens + 1;

  const auto start = Clock::now();
  const array logits = prefill(model, cache, prompt, options.prefill_chunk);  // (1, vocab)
  out.prefill_s = seconds(start, Clock::now());
  Clock::time_point first, last;
  auto emit = [&](int id, std::string text) {
    out.text += text;
    return !sink || sink(id, text);
  };
  // A device decodes a step ahead of what the host has read; the CPU has nothing to gain.
  const size_t lead = default_device() == Device(Device::cpu) ? 0 : 2;
  const size_t most = size_t(std::min(options.max_tokens, room));
  std::deque<array> ahead{sampler(logits)};
  eval(ahead.front());
  Decoder steps(model, cache, sampler, ahead.front());
  size_t started = 1;
  while (true) {
    while (ahead.size() <= lead && started < most) ahead.push_back(steps.step()), ++started;
    const int id = ahead.front().item<int>();
    ahead.pop_front();
    if (id < 0) {
      std::vector<int> before(prompt.begin(), prompt.end());
      before.insert(before.end(), out.ids.begin(), out.ids.end());
      fail_not_finite(model, before, "generate");
    }
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end()) {
      out.stopped_by = "token";
      break;
    }
    last = Clock::now();
    if (out.ids.empty()) first = last;
    out.ids.push_back(id);
    bool hit = false;
    const bool go_on = emit(id, decoder ? stops.push(decoder->push(id), hit) : std::string());
    if (hit) out.stopped_by = "text";
    if (hit || !go_on) {
      if (!hit) out.stopped_by = "caller";
      break;
    }
    if (out.ids.size() == most) break;
    if (ahead.empty()) ahead.push_back(steps.step()), ++started;
  }
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
