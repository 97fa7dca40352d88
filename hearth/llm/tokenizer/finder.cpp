#include "hearth/llm/tokenizer/finder.h"

#include "hearth/llm/tokenizer/json.h"

namespace hearth::llm {

Finder Finder::of_text(std::string text) {
  if (text.empty()) return Finder(Regex(""));
  Finder finder(Kind{});
  finder.what_ = std::move(text);
  return finder;
}

Finder Finder::read(const nlohmann::json& pattern, std::string_view where) {
  ensure(pattern.is_object(), where, ": wanted an object, got ", got(pattern));
  const bool literal = pattern.contains("String");
  const std::string& text = string_member(pattern, literal ? "String" : "Regex", where);
  return literal ? of_text(text) : Finder(Regex(text));
}

}  // namespace hearth::llm
