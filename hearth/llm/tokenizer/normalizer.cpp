#include "hearth/llm/tokenizer/normalizer.h"

#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/base64.h"
#include "hearth/llm/tokenizer/byte_alphabet.h"
#include "hearth/llm/tokenizer/json.h"

namespace hearth::llm {
namespace {

// How much longer a step may make a text. U+FDFA alone becomes 11 times as long.
constexpr size_t kMostTimes = 64, kMostBytes = 1 << 20;

void check_growth(std::string_view text, const std::string& out) {
  ensure(out.size() <= kMostTimes * text.size() + kMostBytes, "tokenizer: the normalizer made ",
         out.size(), " bytes of the first of ", text.size(), "; no real one does");
}

// What the maps of characters are made of. Each appends what one character becomes.
using Text = std::string_view;

void to_lower(char32_t c, Text, std::string& out) { append_lowercase(out, c); }

void without_marks(char32_t c, Text bytes, std::string& out) {
  if (!is_mark(c)) out += bytes;
}

void without_nonspacing_marks(char32_t c, Text bytes, std::string& out) {
  if (!is_nonspacing_mark(c)) out += bytes;
}

// BERT's clean_text.
void clean(char32_t c, Text bytes, std::string& out) {
  if (is_space(c) && (c == '\t' || c == '\n' || c == '\r' || !is_other(c)))
    out += ' ';
  else if (c != 0xFFFD && !is_other(c))
    out += bytes;
}

void spaces_around_ideographs(char32_t c, Text bytes, std::string& out) {
  const auto within = [&](char32_t first, char32_t last) { return c >= first && c <= last; };
  const bool ideograph = c >= 0x3400 && (within(0x4E00, 0x9FFF) || within(0x3400, 0x4DBF) ||
                                         within(0x20000, 0x2A6DF) || within(0x2A700, 0x2B73F) ||
                                         within(0x2B740, 0x2B81F) || within(0x2B920, 0x2CEAF) ||
                                         within(0xF900, 0xFAFF) || within(0x2F800, 0x2FA1F));
  if (ideograph) out += ' ';
  out += bytes;
  if (ideograph) out += ' ';
}

// The rules of machine translation that sentencepiece calls nmt.
void nmt(char32_t c, Text bytes, std::string& out) {
  const auto within = [&](char32_t first, char32_t last) { return c >= first && c <= last; };
  if (within(0x1, 0x8) || c == 0xB || within(0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F)
    return;
  const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     within(0x200B, 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  out += space ? Text(" ") : bytes;
}

void in_alphabet(char32_t, Text bytes, std::string& out) { append_in_alphabet(bytes, out); }

// Each `apply` appends the normalised text to `out`, which is empty; false if the text's first
// character is gone.

bool apply(NormalForm form, Text text, std::string& out, Regex::Memory&) {
  append_normalized(out, text, form);
  return true;
}

bool apply(const MapCharacters& step, Text text, std::string& out, Regex::Memory&) {
  bool starts = true;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step one = utf8_step(text.substr(at));
    step.map(one.code, text.substr(at, size_t(one.length)), out);
    if (at == 0) starts = !out.empty();
    at += size_t(one.length);
  }
  return starts;
}

bool apply(const Strip& step, Text text, std::string& out, Regex::Memory&) {
  const size_t before = text.size();
  while (step.left && !text.empty()) {
    const Utf8Step one = utf8_step(text);
    if (!is_space(one.code)) break;
    text.remove_prefix(size_t(one.length));
  }
  const bool starts = text.size() == before;
  while (step.right && !text.empty()) {
    const Text last = last_character(text);
    if (!is_space(utf8_step(last).code)) break;
    text.remove_suffix(last.size());
  }
  out = text;
  return starts;
}

bool apply(const Replace& step, Text text, std::string& out, Regex::Memory& regex) {
  size_t done = 0;
  bool starts = true;
  step.finder.each(text, regex, [&](size_t begin, size_t end) {
    if (begin == 0 && end > 0)
      starts = !step.content.empty() && end == size_t(utf8_step(text).length);
    out += text.substr(done, begin - done);
    out += step.content;
    done = end;
    check_growth(text, out);
  });
  out += text.substr(done);
  return starts;
}

bool apply(const Prepend& step, Text text, std::string& out, Regex::Memory&) {
  if (!text.empty()) out = step.text;
  out += text;
  return true;
}

bool apply(const Precompiled& step, Text text, std::string& out, Regex::Memory&) {
  const auto add = [&](Text part) {
    if (const auto found = step.charsmap->shortest(part))
      out += found->becomes;
    else
      return false;
    check_growth(text, out);
    return true;
  };
  while (!text.empty()) {
    // A short cluster becomes, as a whole, what any beginning of it becomes.
    Text cluster = text.substr(0, grapheme_length(text));
    text.remove_prefix(cluster.size());
    if (cluster.size() < 6 && add(cluster)) continue;
    while (!cluster.empty()) {
      const Text one = cluster.substr(0, size_t(utf8_step(cluster).length));
      if (!add(one)) out += one;
      cluster.remove_prefix(one.size());
    }
  }
  return true;
}

constexpr Text kMeta = "\xE2\x96\x81";  // U+2581

bool apply(const Sentencepiece& step, Text text, std::string& out, Regex::Memory&) {
  const Text whole = text, space = step.escape_whitespaces ? kMeta : " ";
  // What the beginning of the rest becomes, which is taken off.
  const auto next = [&]() -> Text {
    const auto take = [&](size_t length) {
      const Text part = text.substr(0, length);
      text.remove_prefix(length);
      return part;
    };
    if (step.kept)
      if (const auto found = step.kept->longest(text)) return take(found->length);
    if (step.charsmap)
      if (const auto found = step.charsmap->longest(text)) {
        text.remove_prefix(found->length);
        return found->becomes;
      }
    return take(size_t(utf8_step(text).length));
  };
  bool after_space = step.remove_extra_whitespaces;
  Text part;
  while (after_space && !text.empty()) {
    part = next();
    if (part != " ") break;
    part = {};
  }
  if (text.empty() && part.empty()) return true;
  if (!step.whitespace_as_suffix && step.add_dummy_prefix) out += space;
  for (bool first = !part.empty(); first || !text.empty(); first = false) {
    if (!first) part = next();
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    for (const char c : part) c == ' ' ? out += space : out += c;
    if (!part.empty()) after_space = part.ends_with(' ');
    if (!step.remove_extra_whitespaces) after_space = false;
    check_growth(whole, out);
  }
  Text kept = out;
  while (step.remove_extra_whitespaces && kept.ends_with(space)) kept.remove_suffix(space.size());
  out.erase(kept.size());
  if (step.whitespace_as_suffix && step.add_dummy_prefix) out += space;
  return true;
}

}  // namespace

Normalizer Normalizer::read(const nlohmann::json& description) {
  Normalizer result;
  if (!description.is_null()) result.append(description, 0);
  return result;
}

void Normalizer::append(const nlohmann::json& description, int depth) {
  ensure(depth < kMostNested && steps_.size() < kMostSteps, "normalizer: more than ", kMostNested,
         " levels or ", kMostSteps, " steps");
  const std::string type = string_member(description, "type", "normalizer");
  const std::string where = "normalizer " + type;
  const auto flag = [&](const char* key, bool absent) {
    return bool_member(description, key, absent, where);
  };
  struct Simple {
    std::string_view type;
    Step step;
  };
  static const Simple kSimple[] = {
      {"NFC", NormalForm::nfc},
      {"NFD", NormalForm::nfd},
      {"NFKC", NormalForm::nfkc},
      {"NFKD", NormalForm::nfkd},
      {"Lowercase", MapCharacters{to_lower}},
      {"StripAccents", MapCharacters{without_marks}},
      {"Nmt", MapCharacters{nmt}},
      {"ByteLevel", MapCharacters{in_alphabet}},
  };
  for (const Simple& simple : kSimple)
    if (simple.type == type) return steps_.push_back(simple.step);
  if (type == "Sequence") {
    for (const auto& each : array_member(description, "normalizers", where))
      append(each, depth + 1);
  } else if (type == "Strip") {
    steps_.push_back(Strip{flag("strip_left", true), flag("strip_right", true)});
  } else if (type == "Replace") {
    steps_.push_back(Replace{Finder::read(member(description, "pattern", where), where),
                             string_member(description, "content", where)});
  } else if (type == "Prepend") {
    steps_.push_back(Prepend{string_member(description, "prepend", where)});
  } else if (type == "BertNormalizer") {
    const bool lowercase = flag("lowercase", true);
    if (flag("clean_text", true)) steps_.push_back(MapCharacters{clean});
    if (flag("handle_chinese_chars", true))
      steps_.push_back(MapCharacters{spaces_around_ideographs});
    if (flag("strip_accents", lowercase)) {
      steps_.push_back(NormalForm::nfd);
      steps_.push_back(MapCharacters{without_nonspacing_marks});
    }
    if (lowercase) steps_.push_back(MapCharacters{to_lower});
  } else if (type == "Precompiled") {
    const auto& map = member(description, "precompiled_charsmap", where);
    if (map.is_null() || map == "") return;
    const auto bytes = from_base64(string_of(map, where));
    ensure(bytes.has_value(), where, ": precompiled_charsmap is not base64");
    steps_.push_back(Precompiled{std::make_shared<const Charsmap>(*bytes)});
  } else {
    ensure(false, "normalizer: type '", type,
           "' is not one of BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, "
           "Precompiled, Prepend, Replace, Sequence, Strip, StripAccents");
  }
}

std::string_view Normalizer::run(std::string_view text, Memory& memory, Regex::Memory& regex,
                                 bool& at_start) const {
  for (const Step& step : steps_) {
    memory.other.clear();
    const auto one = [&](const auto& each) { return apply(each, text, memory.other, regex); };
    if (!std::visit(one, step)) at_start = false;
    memory.text.swap(memory.other);
    text = memory.text;
  }
  return text;
}

}  // namespace hearth::llm
