#include "hearth/llm/tokenizer/decoder.h"

#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/byte_alphabet.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

using Text = std::string_view;
using State = TokenDecoder::State;

constexpr Text kMeta = "\xE2\x96\x81";  // U+2581

std::string replaced(const Finder& finder, Text text, Text content, Regex::Memory& regex) {
  std::string out;
  size_t done = 0;
  finder.each(text, regex, [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += content;
    done = end;
  });
  out += text.substr(done);
  return out;
}

void replace_all(std::string& text, Text from, Text to) {
  size_t at = text.find(from);
  if (at == text.npos) return;
  std::string out;
  size_t done = 0;
  for (; at != text.npos; at = text.find(from, done)) {
    out += Text(text).substr(done, at - done);
    out += to;
    done = at + from.size();
  }
  out += Text(text).substr(done);
  text.swap(out);
}

// What BERT's decoder does to the spaces that its pre-tokenizer leads to, in this order.
void clean_up(std::string& text) {
  constexpr std::pair<Text, Text> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

// The byte of a token like <0x0A>, or -1.
int byte_of(Text token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
  };
  // Rust reads "+A" as a number, too.
  const int high = token[3] == '+' ? 0 : digit(token[3]), low = digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Bytes that came one after the other: their text, or one U+FFFD for each.
template <class Next>
void put_bytes(std::string& bytes, const Next& next) {
  if (bytes.empty()) return;
  if (valid_utf8(bytes))
    next(bytes, true);
  else
    for (size_t i = 0; i < bytes.size(); ++i) next(kReplacement, true);
  bytes.clear();
}

// The same as sentencepiece has it: the characters that there are, and U+FFFD for other bytes.
template <class Next>
void put_characters(State& state, const Next& next) {
  std::string text;
  for (Text rest = state.held; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    const size_t length = step.kind == Utf8Step::Kind::character ? size_t(step.length) : 1;
    text += step.kind == Utf8Step::Kind::character ? rest.substr(0, length) : kReplacement;
    rest.remove_prefix(length);
  }
  state.held.clear();
  state.text |= !text.empty();
  if (!text.empty()) next(text, true);
}

// Each `put` takes a part of a token; the first argument of `next` goes on to the next step. The
// ones below take parts as they come.

template <class Next>
void put(const TokenDecoder::Fuse&, State& state, Text part, bool, Regex::Memory*,
         const Next& next) {
  state.open = true;
  next(part, false);
}

template <class Next>
void put(const TokenDecoder::JoinBySpaces&, State& state, Text part, bool ends, Regex::Memory*,
         const Next& next) {
  if (!state.open && state.tokens > 0) next(" ", false);
  state.open = !ends;
  state.tokens += ends;
  next(part, ends);
}

template <class Next>
void put(const TokenDecoder::Metaspace& step, State& state, Text part, bool ends, Regex::Memory*,
         const Next& next) {
  std::string text(part);
  replace_all(text, step.replacement, state.tokens == 0 && step.drop_first ? "" : " ");
  state.tokens += ends;
  next(text, ends);
}

// The others take whole tokens.

template <class Next>
void put(const TokenDecoder::ByteLevel&, State& state, Text token, bool, Regex::Memory*,
         const Next& next) {
  append_bytes_of(token, state.held);
  // Only a character that may still become whole is held back, at most three bytes.
  size_t valid = 0, certain = 0;
  while (certain < state.held.size()) {
    if (static_cast<unsigned char>(state.held[certain]) < 0x80) {
      valid += valid == certain;
      ++certain;
      continue;
    }
    const Utf8Step step = utf8_step(Text(state.held).substr(certain));
    if (step.kind == Utf8Step::Kind::cut) break;
    if (step.kind == Utf8Step::Kind::character && valid == certain) valid += size_t(step.length);
    certain += size_t(step.length);
  }
  const Text whole = Text(state.held).substr(0, certain);
  if (valid == certain)
    next(whole, false);
  else
    next(sanitize_utf8(whole), false);
  state.held.erase(0, certain);
}

template <class Next>
void put(const TokenDecoder::ByteFallback&, State& state, Text token, bool, Regex::Memory*,
         const Next& next) {
  const int byte = byte_of(token);
  if (byte >= 0) {
    state.held += static_cast<char>(byte);
    return;
  }
  put_bytes(state.held, next);
  next(token, true);
}

template <class Next>
void put(const TokenDecoder::Replace& step, State&, Text token, bool, Regex::Memory* regex,
         const Next& next) {
  next(replaced(step.finder, token, step.content, *regex), true);
}

template <class Next>
void put(const TokenDecoder::Strip& step, State& state, Text token, bool ends, Regex::Memory*,
         const Next& next) {
  while (state.dropped < step.start && token.starts_with(step.content)) {
    token.remove_prefix(step.content.size());
    ++state.dropped;
  }
  if (!token.empty()) state.dropped = step.start;
  if (ends) {
    for (size_t i = 0; i < step.stop && token.ends_with(step.content); ++i)
      token.remove_suffix(step.content.size());
    state.dropped = 0;
  }
  next(token, ends);
}

template <class Next>
void put(const TokenDecoder::WordPiece& step, State& state, Text token, bool, Regex::Memory*,
         const Next& next) {
  const bool first = state.tokens++ == 0;
  if (first && !step.cleanup) return next(token, true);
  std::string text;
  if (!first && token.starts_with(step.prefix))
    token.remove_prefix(step.prefix.size());
  else if (!first)
    text = " ";
  text += token;
  if (step.cleanup) clean_up(text);
  next(text, true);
}

template <class Next>
void put(const TokenDecoder::Suffix& step, State& state, Text token, bool, Regex::Memory* regex,
         const Next& next) {
  if (state.tokens++ > 0) next(replaced(step.suffix, state.held, " ", *regex), true);
  state.held = token;
}

template <class Next>
void put(const TokenDecoder::Sentencepiece& step, State& state, Text token, bool, Regex::Memory*,
         const Next& next) {
  const int byte = byte_of(token);
  if (byte >= 0) {
    state.held += static_cast<char>(byte);
    return;
  }
  put_characters(state, next);
  std::string text(token);
  if (!state.text && step.drop_first && token.starts_with(kMeta)) {
    text.erase(0, kMeta.size());
    state.text = !step.drop_all_first;
  }
  replace_all(text, kMeta, " ");
  state.text |= !text.empty();
  next(text, true);
}

// What a step gives when all tokens have come.

template <class Step, class Next>
void end(const Step&, State&, Regex::Memory*, const Next&) {}

template <class Next>
void end(const TokenDecoder::Fuse&, State&, Regex::Memory*, const Next& next) {
  next("", true);
}

template <class Next>
void end(const TokenDecoder::ByteLevel&, State& state, Regex::Memory*, const Next& next) {
  next(sanitize_utf8(state.held), true);
}

template <class Next>
void end(const TokenDecoder::ByteFallback&, State& state, Regex::Memory*, const Next& next) {
  put_bytes(state.held, next);
}

template <class Next>
void end(const TokenDecoder::Suffix& step, State& state, Regex::Memory* regex, const Next& next) {
  if (state.tokens > 0) next(replaced(step.suffix, state.held, "", *regex), true);
}

template <class Next>
void end(const TokenDecoder::Sentencepiece&, State& state, Regex::Memory*, const Next& next) {
  put_characters(state, next);
}

// Whether a step can do with parts of tokens.
bool takes_parts(const TokenDecoder::Step& step) {
  if (const auto* strip = std::get_if<TokenDecoder::Strip>(&step)) return strip->stop == 0;
  return std::holds_alternative<TokenDecoder::Fuse>(step) ||
         std::holds_alternative<TokenDecoder::JoinBySpaces>(step) ||
         std::holds_alternative<TokenDecoder::Metaspace>(step);
}

bool uses_expression(const TokenDecoder::Step& step) {
  const auto* replace = std::get_if<TokenDecoder::Replace>(&step);
  const auto* suffix = std::get_if<TokenDecoder::Suffix>(&step);
  return replace || suffix;
}

}  // namespace

void TokenDecoder::Stream::put(size_t at, std::string_view part, bool ends, std::string& out) {
  if (at == states_.size()) {
    out += part;
    return;
  }
  const Step& step = decoder_->steps_[at];
  State& state = states_[at];
  const auto take = [&](std::string_view text, bool last) {
    const auto next = [&](std::string_view made, bool done) { put(at + 1, made, done, out); };
    std::visit([&](const auto& each) { llm::put(each, state, text, last, regex(step), next); },
               step);
  };
  if ((ends && state.token.empty()) || takes_parts(step)) return take(part, ends);
  if (!ends) {
    state.token += part;
    return;
  }
  state.token += part;
  std::string token;
  token.swap(state.token);
  take(token, true);
}

void TokenDecoder::Stream::finish(std::string& out) {
  for (size_t at = 0; at < states_.size(); ++at) {
    const Step& step = decoder_->steps_[at];
    const auto next = [&](std::string_view made, bool done) { put(at + 1, made, done, out); };
    std::visit([&](const auto& each) { end(each, states_[at], regex(step), next); }, step);
    states_[at] = {};
  }
}

Regex::Memory* TokenDecoder::Stream::regex(const Step& step) {
  if (!regex_ && uses_expression(step)) regex_ = std::make_unique<Regex::Memory>();
  return regex_.get();
}

TokenDecoder TokenDecoder::read(const nlohmann::json& description) {
  TokenDecoder result({});
  if (description.is_null())
    result.steps_.push_back(JoinBySpaces{});
  else
    result.append(description, 0);
  return result;
}

void TokenDecoder::append(const nlohmann::json& description, int depth) {
  ensure(depth < kMostNested && steps_.size() < kMostSteps, "decoder: more than ", kMostNested,
         " levels or ", kMostSteps, " steps");
  const std::string type = string_member(description, "type", "decoder");
  const std::string where = "decoder " + type;
  const auto one_character = [&](const char* key) {
    const std::string& text = string_member(description, key, where);
    ensure(!text.empty() && size_t(utf8_step(text).length) == text.size(), where, ": ", key, " '",
           text, "' is not one character");
    return text;
  };
  const auto count = [&](const char* key) {
    const auto& value = member(description, key, where);
    return value.is_null() ? size_t{0} : size_t(id_of(value, where));
  };
  if (type == "Sequence") {
    for (const auto& each : array_member(description, "decoders", where)) append(each, depth + 1);
  } else if (type == "ByteLevel") {
    steps_.push_back(ByteLevel{});
  } else if (type == "Fuse") {
    steps_.push_back(Fuse{});
  } else if (type == "ByteFallback") {
    steps_.push_back(ByteFallback{});
  } else if (type == "Replace") {
    steps_.push_back(Replace{Finder::read(member(description, "pattern", where), where),
                             string_member(description, "content", where)});
  } else if (type == "Strip") {
    steps_.push_back(Strip{one_character("content"), count("start"), count("stop")});
  } else if (type == "Metaspace") {
    const auto& scheme = member(description, "prepend_scheme", where);
    const bool never = !scheme.is_null() && string_of(scheme, where) == "never";
    const bool space = bool_member(description, "add_prefix_space", true, where);
    steps_.push_back(Metaspace{one_character("replacement"), !never && space});
  } else if (type == "WordPiece") {
    const auto& prefix = member(description, "prefix", where);
    steps_.push_back(WordPiece{prefix.is_null() ? "##" : string_of(prefix, where),
                               bool_member(description, "cleanup", true, where)});
  } else if (type == "BPEDecoder") {
    const auto& suffix = member(description, "suffix", where);
    steps_.push_back(Suffix{Finder::of_text(suffix.is_null() ? "</w>" : string_of(suffix, where))});
  } else {
    ensure(false, "decoder: type '", type,
           "' is not one of BPEDecoder, ByteFallback, ByteLevel, Fuse, Metaspace, Replace, "
           "Sequence, Strip, WordPiece");
  }
}

}  // namespace hearth::llm
