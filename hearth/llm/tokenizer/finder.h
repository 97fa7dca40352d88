// What Split, Replace, Punctuation and their kin look for in a text: a text, an expression, or any
// character of a kind.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/regex.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {

class Finder {
 public:
  using Kind = bool (*)(char32_t);

  explicit Finder(Kind kind) : what_(kind) {}
  explicit Finder(Regex regex) : what_(std::move(regex)) {}
  /// The empty text stands before each character and at the end.
  static Finder of_text(std::string text);
  /// A "pattern": {"String": ...} or {"Regex": ...}.
  static Finder read(const nlohmann::json& pattern, std::string_view where);

  /// The text that is looked for, if it is one.
  const std::string* text() const { return std::get_if<std::string>(&what_); }

  /// Calls match(begin, end) for each match in `text` (valid UTF-8) from left to right. As in
  /// Oniguruma's iteration, no empty match stands right behind another match.
  template <class Match>
  void each(std::string_view text, Regex::Memory& memory, const Match& match) const {
    if (const auto* kind = std::get_if<Kind>(&what_)) {
      for (size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_step(text.substr(at));
        const size_t end = at + size_t(step.length);
        if ((*kind)(step.code)) match(at, end);
        at = end;
      }
    } else if (const auto* wanted = std::get_if<std::string>(&what_)) {
      for (size_t at = text.find(*wanted); at != text.npos; at = text.find(*wanted, at)) {
        match(at, at + wanted->size());
        at += wanted->size();
      }
    } else {
      each_of(std::get<Regex>(what_), text, memory, match);
    }
  }

 private:
  template <class Match>
  static void each_of(const Regex& regex, std::string_view text, Regex::Memory& memory,
                      const Match& match) {
    size_t from = 0, last_end = text.npos;
    while (from <= text.size() && !text.empty()) {
      const auto found = regex.find(text, from, memory);
      if (!found) return;
      ensure(found->begin >= from && found->begin <= found->end,
             "tokenizer: a pattern's expression matches backwards");
      from = found->end;
      if (found->begin == found->end && found->end == last_end) {
        if (from == text.size()) return;
        from += size_t(utf8_step(text.substr(from)).length);
        continue;
      }
      match(found->begin, found->end);
      last_end = from;
    }
  }

  std::variant<Kind, std::string, Regex> what_;
};

}  // namespace hearth::llm
