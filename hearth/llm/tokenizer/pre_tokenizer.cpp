#include "hearth/llm/tokenizer/pre_tokenizer.h"

#include <array>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

enum Class : unsigned char { other, letter, number, space, beyond };  // beyond ASCII

constexpr std::array<Class, 256> kClasses = [] {
  std::array<Class, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    classes[c] = c >= 0x80                                          ? beyond
                 : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? letter
                 : c >= '0' && c <= '9'                             ? number
                 : c == ' ' || (c >= '\t' && c <= '\r')             ? space
                                                                    : other;
  }
  return classes;
}();

// The length of the contraction ('s 't 're 've 'm 'll 'd) at `from`, 0 if there is none.
size_t contraction(std::string_view text, size_t from) {
  if (from + 1 >= text.size()) return 0;
  switch (text[from + 1]) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 2;
  }
  const std::string_view two = text.substr(from + 1, 2);
  return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
}

}  // namespace

size_t gpt2_piece_end(std::string_view text, size_t from) {
  const size_t size = text.size();
  const auto class_at = [&](size_t i) { return kClasses[static_cast<unsigned char>(text[i])]; };
  const auto run_end = [&](size_t i, Class c) {
    while (i < size && class_at(i) == c) ++i;
    return i;
  };
  if (text[from] == '\'')
    if (const size_t length = contraction(text, from)) return from + length;
  size_t start = from;
  Class c = class_at(from);
  if (text[from] == ' ' && from + 1 < size && class_at(from + 1) != space) c = class_at(++start);
  if (c == beyond) return 0;
  const size_t end = run_end(start, c);
  if (end < size && class_at(end) == beyond) return 0;  // a letter that goes on, a space, ...
  // Of several spaces before a word the last one belongs to the word, by \s+(?!\S).
  if (c == space && end < size && end - start > 1) return end - 1;
  return end;
}

Gpt2Split::Gpt2Split() : regex(kGpt2Pattern) {}

namespace {

using Memory = PreTokenizer::Memory;

template <class Sink>
void split(const Gpt2Split& step, std::string_view text, Memory& memory, const Sink& sink) {
  for (size_t from = 0; from < text.size();) {
    size_t end = gpt2_piece_end(text, from);
    if (end == 0) {
      const auto match = step.regex.find(text, from, memory.regex);  // always matches, at `from`
      end = match ? match->end : text.size();
    }
    sink(text.substr(from, end - from));
    from = end;
  }
}

template <class Sink>
void split(const RegexSplit& step, std::string_view text, Memory& memory, const Sink& sink) {
  using Behavior = RegexSplit::Behavior;
  // Parts come in order, matches and what lies between; a part is held back as long as the next
  // one may join it.
  size_t begin = 0, end = 0;  // of the part held back
  bool held_match = false;
  const auto flush = [&] {
    if (end > begin) sink(text.substr(begin, end - begin));
  };
  const auto part = [&](size_t from, size_t to, bool match) {
    match = match != step.invert;
    bool joins = false;
    switch (step.behavior) {
      case Behavior::removed:
        if (match) from = to;
        break;
      case Behavior::isolated: break;
      case Behavior::merged_with_previous: joins = match && !held_match; break;
      case Behavior::merged_with_next: joins = !match && held_match; break;
      case Behavior::contiguous: joins = match == held_match; break;
    }
    if (!joins) flush(), begin = from;
    end = to;
    held_match = match;
  };
  size_t done = 0, from = 0;
  while (from <= text.size()) {
    const auto match = step.regex.find(text, from, memory.regex);
    if (!match) break;
    ensure(match->begin >= from && match->begin <= match->end,
           "tokenizer: the pre-tokenizer's expression matches backwards");
    if (match->begin > done) part(done, match->begin, false);
    part(match->begin, match->end, true);
    done = from = match->end;
    if (match->begin == match->end) {  // an empty match: go on behind the next character
      if (from == text.size()) break;
      from += utf8_step(text.substr(from)).length;
    }
  }
  if (done < text.size()) part(done, text.size(), false);
  flush();
}

template <class Sink>
void split(const PrefixSpace&, std::string_view text, Memory& memory, const Sink& sink) {
  if (text.starts_with(' ')) return sink(text);
  sink(memory.made.emplace_back(concat(' ', text)));
}

RegexSplit::Behavior behavior_from(const std::string& name) {
  using Behavior = RegexSplit::Behavior;
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  ensure(name == "Contiguous", "pre_tokenizer: Split behavior '", name,
         "' is not one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
  return Behavior::contiguous;
}

std::string escaped(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    if (static_cast<unsigned char>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c)))
      pattern += '\\';
    pattern += c;
  }
  return pattern;
}

constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;

}  // namespace

PreTokenizer PreTokenizer::read(const nlohmann::json& description) {
  PreTokenizer result;
  if (!description.is_null()) result.append(description, 0);
  return result;
}

void PreTokenizer::append(const nlohmann::json& description, int depth) {
  ensure(depth < kMaxDepth && steps_.size() < kMaxSteps, "pre_tokenizer: more than ", kMaxDepth,
         " levels or ", kMaxSteps, " steps");
  const std::string type = string_member(description, "type", "pre_tokenizer");
  ensure(!byte_level_, "pre_tokenizer: '", type, "' after ByteLevel, which must be the last");
  if (type == "Sequence") {
    for (const auto& each : array_member(description, "pretokenizers", "pre_tokenizer Sequence"))
      append(each, depth + 1);
  } else if (type == "ByteLevel") {
    if (bool_member(description, "add_prefix_space", true, "pre_tokenizer ByteLevel"))
      steps_.emplace_back(PrefixSpace{});
    if (bool_member(description, "use_regex", true, "pre_tokenizer ByteLevel"))
      steps_.emplace_back(Gpt2Split{});
    byte_level_ = true;
  } else if (type == "Split") {
    const auto& pattern = object_member(description, "pattern", "pre_tokenizer Split");
    const bool literal = pattern.contains("String");
    const std::string text =
        string_member(pattern, literal ? "String" : "Regex", "pre_tokenizer Split pattern");
    const auto behavior =
        behavior_from(string_member(description, "behavior", "pre_tokenizer Split"));
    const bool invert = bool_member(description, "invert", false, "pre_tokenizer Split");
    if (!literal && text == kGpt2Pattern && behavior == RegexSplit::Behavior::isolated)
      steps_.emplace_back(Gpt2Split{});
    else
      steps_.emplace_back(RegexSplit{Regex(literal ? escaped(text) : text), behavior, invert});
  } else {
    ensure(false, "pre_tokenizer: type '", type, "' is not one of ByteLevel, Sequence, Split");
  }
}

void PreTokenizer::run(std::string_view text, Memory& memory, const PieceSink& sink) const {
  if (text.empty()) return;
  if (steps_.empty()) return sink(text);
  std::vector<std::string_view> pieces = {text}, next;
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    const auto keep = [&](std::string_view piece) { next.push_back(piece); };
    for (const std::string_view piece : pieces)
      std::visit([&](const auto& step) { split(step, piece, memory, keep); }, steps_[i]);
    pieces.swap(next);
    next.clear();
  }
  for (const std::string_view piece : pieces)
    std::visit([&](const auto& step) { split(step, piece, memory, sink); }, steps_.back());
}

}  // namespace hearth::llm
