#include "hearth/llm/tokenizer/pre_tokenizer.h"

#include <array>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/byte_alphabet.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/unicode.h"
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

// A piece and whether it begins what was given to the tokenizer.
struct Piece {
  std::string_view text;
  bool at_start;
};

template <class Sink>
void split(const Gpt2Split& step, Piece piece, Memory& memory, const Sink& sink) {
  const std::string_view text = piece.text;
  for (size_t from = 0; from < text.size();) {
    size_t end = gpt2_piece_end(text, from);
    if (end == 0) {
      const auto match = step.regex.find(text, from, memory.regex);  // always matches, at `from`
      end = match ? match->end : text.size();
    }
    sink({text.substr(from, end - from), piece.at_start && from == 0});
    from = end;
  }
}

template <class Sink>
void split(const Split& step, Piece piece, Memory& memory, const Sink& sink) {
  using Behavior = Split::Behavior;
  const std::string_view text = piece.text;
  // Parts come in order, matches and what lies between; a part is held back as long as the next
  // one may join it.
  size_t begin = 0, end = 0;  // of the part held back
  bool held_match = false;
  const auto flush = [&] {
    if (end > begin) sink({text.substr(begin, end - begin), piece.at_start && begin == 0});
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
  size_t done = 0;
  step.finder.each(text, memory.regex, [&](size_t from, size_t to) {
    if (from > done) part(done, from, false);
    part(from, to, true);
    done = to;
  });
  if (done < text.size()) part(done, text.size(), false);
  flush();
}

template <class Sink>
void split(const PrefixSpace&, Piece piece, Memory& memory, const Sink& sink) {
  if (piece.text.starts_with(' ')) return sink(piece);
  sink({memory.made.emplace_back(concat(' ', piece.text)), piece.at_start});
}

template <class Sink>
void split(const Metaspace& step, Piece piece, Memory& memory, const Sink& sink) {
  using Prepend = Metaspace::Prepend;
  const std::string& space = step.replacement;
  std::string& made = memory.made.emplace_back();
  made.reserve(piece.text.size() + piece.text.size() / 2);
  const bool prepend =
      step.prepend == Prepend::always || (step.prepend == Prepend::first && piece.at_start);
  if (prepend && !piece.text.starts_with(' ') && !piece.text.starts_with(space)) made = space;
  for (const char c : piece.text) c == ' ' ? made += space : made += c;
  const std::string_view text = made;
  size_t begin = 0;
  while (step.split && begin < text.size()) {
    const size_t next = text.find(space, begin + 1);
    if (next == text.npos) break;
    sink({text.substr(begin, next - begin), piece.at_start && begin == 0});
    begin = next;
  }
  sink({text.substr(begin), piece.at_start && begin == 0});
}

template <class Sink>
void split(const InAlphabet&, Piece piece, Memory& memory, const Sink& sink) {
  std::string& made = memory.made.emplace_back();
  append_in_alphabet(piece.text, made);
  sink({made, piece.at_start});
}

template <class Sink>
void split(const FixedLength& step, Piece piece, Memory&, const Sink& sink) {
  std::string_view text = piece.text;
  while (!text.empty()) {
    size_t end = 0;
    for (int i = 0; i < step.length && end < text.size(); ++i)
      end += size_t(utf8_step(text.substr(end)).length);
    sink({text.substr(0, end), piece.at_start && text.data() == piece.text.data()});
    text.remove_prefix(end);
  }
}

Split::Behavior behavior_from(const nlohmann::json& name, std::string_view where) {
  using Behavior = Split::Behavior;
  constexpr std::pair<std::string_view, Behavior> kNames[] = {
      {"Removed", Behavior::removed},
      {"Isolated", Behavior::isolated},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous}};
  for (const auto& [text, behavior] : kNames)
    if (string_of(name, where) == text) return behavior;
  ensure(false, where, ": behavior '", name.get_ref<const std::string&>(),
         "' is not one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
  return Behavior::removed;
}

// What Whitespace finds, by the expression of Rust's \w.
constexpr const char* kWords = R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+)"
                               R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)";

Metaspace read_metaspace(const nlohmann::json& description, std::string_view where) {
  using Prepend = Metaspace::Prepend;
  Metaspace step;
  step.replacement = string_member(description, "replacement", where);
  ensure(!step.replacement.empty() &&
             size_t(utf8_step(step.replacement).length) == step.replacement.size(),
         where, ": replacement '", step.replacement, "' is not one character");
  step.split = bool_member(description, "split", true, where);
  const auto& scheme = member(description, "prepend_scheme", where);
  const std::string name = scheme.is_null() ? "always" : string_of(scheme, where);
  ensure(name == "first" || name == "never" || name == "always", where, ": prepend_scheme '", name,
         "' is not one of first, never, always");
  step.prepend = name == "first"   ? Prepend::first
                 : name == "never" ? Prepend::never
                                   : Prepend::always;
  if (!bool_member(description, "add_prefix_space", true, where)) {
    ensure(scheme.is_null() || step.prepend == Prepend::never, where,
           ": add_prefix_space is false and prepend_scheme '", name, "'");
    step.prepend = Prepend::never;
  }
  return step;
}

}  // namespace

PreTokenizer PreTokenizer::read(const nlohmann::json& description, bool model_reads_bytes) {
  PreTokenizer result;
  if (!description.is_null()) result.append(description, 0);
  if (model_reads_bytes && !result.steps_.empty() &&
      std::holds_alternative<InAlphabet>(result.steps_.back())) {
    result.steps_.pop_back();
    result.byte_level_ = true;
  }
  return result;
}

PreTokenizer PreTokenizer::of_expression(const std::string& pattern) {
  PreTokenizer result;
  result.steps_.emplace_back(Split{Finder(Regex(pattern))});
  result.byte_level_ = true;
  return result;
}

void PreTokenizer::append(const nlohmann::json& description, int depth) {
  using Behavior = Split::Behavior;
  ensure(depth < kMostNested && steps_.size() < kMostSteps, "pre_tokenizer: more than ",
         kMostNested, " levels or ", kMostSteps, " steps");
  const std::string type = string_member(description, "type", "pre_tokenizer");
  const std::string where = "pre_tokenizer " + type;
  const auto behavior = [&](const nlohmann::json& name) {
    return name.is_null() ? Behavior::isolated : behavior_from(name, where);
  };
  const auto cut = [&](Finder finder, Behavior how, bool invert = false) {
    steps_.emplace_back(Split{std::move(finder), how, invert});
  };
  if (type == "Sequence") {
    for (const auto& each : array_member(description, "pretokenizers", where))
      append(each, depth + 1);
  } else if (type == "ByteLevel") {
    if (bool_member(description, "add_prefix_space", true, where))
      steps_.emplace_back(PrefixSpace{});
    if (bool_member(description, "use_regex", true, where)) steps_.emplace_back(Gpt2Split{});
    steps_.emplace_back(InAlphabet{});
  } else if (type == "Split") {
    const auto& pattern = object_member(description, "pattern", where);
    const Behavior how = behavior_from(member(description, "behavior", where), where);
    const bool invert = bool_member(description, "invert", false, where);
    if (how == Behavior::isolated && pattern.contains("Regex") && pattern["Regex"] == kGpt2Pattern)
      steps_.emplace_back(Gpt2Split{});
    else
      cut(Finder::read(pattern, where + " pattern"), how, invert);
  } else if (type == "Whitespace") {
    cut(Finder(Regex(kWords)), Behavior::removed, true);
  } else if (type == "WhitespaceSplit") {
    cut(Finder(is_space), Behavior::removed);
  } else if (type == "BertPreTokenizer") {
    cut(Finder(is_space), Behavior::removed);
    cut(Finder(is_punctuation), Behavior::isolated);
  } else if (type == "Punctuation") {
    cut(Finder(is_punctuation), behavior(member(description, "behavior", where)));
  } else if (type == "Digits") {
    const bool each = bool_member(description, "individual_digits", false, where);
    cut(Finder(is_number), each ? Behavior::isolated : Behavior::contiguous);
  } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
    const std::string& delimiter = string_member(description, "delimiter", where);
    ensure(!delimiter.empty() && size_t(utf8_step(delimiter).length) == delimiter.size(), where,
           ": delimiter '", delimiter, "' is not one character");
    cut(Finder::of_text(delimiter), Behavior::removed);
  } else if (type == "Metaspace") {
    steps_.emplace_back(read_metaspace(description, where));
  } else if (type == "FixedLength") {
    const auto& length = member(description, "length", where);
    steps_.emplace_back(FixedLength{length.is_null() ? 5 : id_of(length, where)});
    ensure(std::get<FixedLength>(steps_.back()).length > 0, where, ": length is 0");
  } else {
    ensure(false, "pre_tokenizer: type '", type,
           "' is not one of BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, "
           "Metaspace, Punctuation, Sequence, Split, Whitespace, WhitespaceSplit");
  }
}

void PreTokenizer::run(std::string_view text, bool at_start, Memory& memory,
                       const PieceSink& sink) const {
  if (text.empty()) return;
  if (steps_.empty()) return sink(text);
  std::vector<Piece> pieces = {{text, at_start}}, next;
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    const auto keep = [&](Piece piece) { next.push_back(piece); };
    for (const Piece piece : pieces)
      std::visit([&](const auto& step) { split(step, piece, memory, keep); }, steps_[i]);
    pieces.swap(next);
    next.clear();
  }
  const auto last = [&](Piece piece) { sink(piece.text); };
  for (const Piece piece : pieces)
    std::visit([&](const auto& step) { split(step, piece, memory, last); }, steps_.back());
}

}  // namespace hearth::llm
