#include "hearth/llm/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/llm/sequence_breakers.h"
#include "hearth/llm/stop_texts.h"

namespace hearth::llm {

namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// What comes of one prompt: tokens, their text, the time they took.
class Answer {
 public:
  Answer(const GenerateOptions& options, const Tokenizer* tokenizer, Sink sink)
      : options_(options), stops_(options.stop_texts), sink_(std::move(sink)) {
    if (tokenizer) decoder_.emplace(*tokenizer, /*skip_special=*/true);
  }
  Answer(const Answer&) = delete;  // the batcher calls it

  Batcher::Request request(std::span<const int> prompt, std::optional<RowState> begun) {
    out.prompt_tokens = int(prompt.size());
    out.reused_tokens = begun ? begun->length : 0;
    start_ = Clock::now();
    return {.prompt = {prompt.begin(), prompt.end()},
            .sampling = options_.sampling,
            .stop_ids = options_.stop_ids,
            .max_tokens = options_.max_tokens,
            .until = [this](const NewToken& token) { return ends(token); },
            .begun = std::move(begun),
            .keep_state = options_.keep_state,
            .draft = options_.draft};
  }
  /// An event of its row; true at its end.
  bool take(Batcher::Event& event) {
    out.prefill_s += event.prefill_s;
    out.drafts = event.drafts;
    if (event.end == Batcher::End::none) return false;
    out.error = event.error;
    out.state = std::move(event.state);
    out.read_tokens = event.read_tokens;
    finish(event.end == Batcher::End::error     ? "error"
           : hit_                               ? "text"
           : event.end == Batcher::End::stop_id ? "token"
           : event.end == Batcher::End::caller  ? "caller"
                                                : "length");
    return true;
  }
  void finish(const char* why) {
    if (decoder_ && !hit_) {
      std::string rest = stops_.push(decoder_->finish(), hit_);
      if (!hit_) rest += stops_.rest();
      if (!rest.empty()) emit(out.ids.empty() ? -1 : out.ids.back(), rest);
    }
    if (!out.ids.empty()) {
      out.time_to_first_token_s = seconds(start_, first_);
      out.decode_s = seconds(first_, last_);
    }
    out.stopped_by = why;
  }

  Generated out;

 private:
  bool emit(int id, const std::string& text) {
    out.text += text;
    return !sink_ || sink_(id, text);
  }
  bool ends(const NewToken& token) {
    last_ = Clock::now();
    if (out.ids.empty()) first_ = last_;
    out.ids.push_back(token.id);
    if (options_.sampling.logprobs > 0) out.logprobs.push_back(token.likely);
    const bool go_on =
        emit(token.id, decoder_ ? stops_.push(decoder_->push(token.id), hit_) : std::string());
    return hit_ || !go_on;
  }

  const GenerateOptions& options_;
  StopTexts stops_;
  const Sink sink_;
  std::optional<StreamDecoder> decoder_;
  Clock::time_point start_, first_, last_;
  bool hit_ = false;  // a stop text
};

void settle(GenerateOptions& options, const Tokenizer* tokenizer) {
  check(tokenizer || options.stop_texts.empty(), "generate: stop texts need a tokenizer");
  SamplingOptions& sampling = options.sampling;
  if (tokenizer && sampling.dry_multiplier > 0)
    sampling.dry_breakers = sequence_breakers(*tokenizer, sampling.dry_sequence_breakers);
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
  settle(options, tokenizer);
  Answer answer(options, tokenizer, sink);
  Batcher batcher(model);
  // The state that it begins with is gone as soon as it is copied.
  batcher.add(answer.request(prompt, std::exchange(options.begun, std::nullopt)));
  while (!batcher.idle())
    for (Batcher::Event& event : batcher.step()) answer.take(event);
  if (answer.out.error) std::rethrow_exception(answer.out.error);
  return std::move(answer.out);
}

std::vector<Generated> generate_each(LanguageModel& model,
                                     std::span<const std::vector<int>> prompts,
                                     const GenerateOptions& given, const Watch& watch,
                                     const Tokenizer* tokenizer) {
  constexpr size_t kWaiting = 32;  // prompts that are made ready before their turn
  GenerateOptions options = given;
  settle(options, tokenizer);
  std::vector<std::unique_ptr<Answer>> answers;
  std::map<Batcher::Id, size_t> rows;
  bool go_on = true;
  const auto told = [&](size_t i) {
    go_on = go_on && (!watch || watch(i, answers[i]->out));
    return go_on;
  };
  // Prompts are read first: a row that joins others makes them all move.
  Batcher batcher(model, {.chunks_per_step = std::numeric_limits<int>::max()});
  while (go_on && (answers.size() < prompts.size() || !batcher.idle())) {
    while (go_on && answers.size() < prompts.size() && batcher.waiting() < kWaiting) {
      const size_t i = answers.size();
      answers.push_back(std::make_unique<Answer>(
          options, tokenizer, [&, i](int, std::string_view) { return told(i); }));
      try {
        rows[batcher.add(answers[i]->request(prompts[i], std::nullopt))] = i;
      } catch (...) {
        answers[i]->out.error = std::current_exception();
        answers[i]->finish("error");
        told(i);
      }
    }
    if (batcher.idle()) continue;
    for (Batcher::Event& event : batcher.step()) {
      const size_t i = rows.at(event.row);
      if (answers[i]->take(event)) told(i);
    }
  }
  std::vector<Generated> all;
  for (auto& answer : answers) {
    if (answer->out.stopped_by.empty()) answer->finish("caller");
    all.push_back(std::move(answer->out));
  }
  all.resize(prompts.size());
  for (Generated& one : all)
    if (one.stopped_by.empty()) one.stopped_by = "caller";
  return all;
}

}  // namespace hearth::llm
