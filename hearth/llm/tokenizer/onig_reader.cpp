#include "hearth/llm/tokenizer/onig_reader.h"

#include <algorithm>

namespace hearth::llm {
namespace {

int hex_of(char c) {
  return c >= '0' && c <= '9'                 ? c - '0'
         : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                              : -1;
}

}  // namespace

std::string OnigReader::literal(char32_t code) {
  if (code >= 0x80) {
    std::string text;
    append_utf8(text, code);
    return text;
  }
  const char c = char(code);
  if (is_digit(c) || is_letter(c)) return {c};
  if (c <= ' ' || c == 0x7F) return class_of({{code, code}});
  return {'\\', c};
}

char32_t OnigReader::take_character() {
  if (at_end()) refuse("it ends too early");
  const Utf8Step step = utf8_step(pattern_.substr(at_));
  at_ += size_t(step.length);
  return step.code;
}

void OnigReader::refuse_fold() const {
  not_supported("a text that without regard to case equals one of another length");
}

std::optional<NamedSet> OnigReader::short_set(char c) {
  switch (c | 32) {
    case 'w': return property_set("word");
    case 'd': return property_set("digit");
    case 's': return property_set("space");
    case 'h': return property_set("xdigit");
  }
  return std::nullopt;
}

std::pair<NamedSet, bool> OnigReader::property(bool negated) {
  take("{");
  if (take("^")) negated = !negated;
  const size_t close = std::min(pattern_.find('}', at_), pattern_.size());
  const std::string_view name = pattern_.substr(at_, close - at_);
  auto named = property_set(name);
  if (!named) refuse(concat("the property {", name, "} is not known or not supported"));
  at_ = std::min(close + 1, pattern_.size());
  return {*std::move(named), negated};
}

std::optional<char32_t> OnigReader::escaped_character() {
  const size_t before = at_;
  take("\\");
  const char32_t c = take_character();
  const auto digits = [&](size_t least, size_t most, int base) {
    char32_t code = 0;
    size_t n = 0;
    for (; n < most && !at_end(); ++n, ++at_) {
      const int digit = hex_of(pattern_[at_]);
      if (digit < 0 || digit >= base) break;
      code = code * char32_t(base) + char32_t(digit);
      if (code > 0x10FFFF) refuse("a character beyond U+10FFFF");
    }
    if (n < least) refuse("an escape without its digits");
    return code;
  };
  const auto valid = [&](char32_t code) {
    if (code >= 0xD800 && code <= 0xDFFF) refuse("a surrogate");
    return code;
  };
  switch (c) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case 'f': return '\f';
    case 'v': return 0x0B;
    case 'a': return 0x07;
    case 'e': return 0x1B;
    case 'u': return valid(digits(4, 4, 16));
    case 'c': return take_character() & 0x1F;
    case 'C':
    case 'M': not_supported("\\C- or \\M-");
    case 'x':
    case 'o': {
      if (!next_is("{")) {
        if (c == 'o') return c;
        const char32_t code = digits(1, 2, 16);
        if (code >= 0x80) refuse_byte();
        return code;
      }
      take("{");
      const char32_t code = valid(digits(1, 11, c == 'x' ? 16 : 8));
      if (!take("}")) not_supported("several characters in one \\x{}");
      return code;
    }
    case '0': return digits(0, 2, 8);
  }
  if (c < 0x80 && (is_digit(char(c)) || ((c | 32) >= 'a' && (c | 32) <= 'z'))) {
    at_ = before;
    return std::nullopt;
  }
  return c;
}

CodeSet OnigReader::Members::all() const {
  CodeSet all = plain;
  for (const auto& [set, negated] : sets)
    all = united(all, negated ? complement(set.all()) : set.all());
  return all;
}

std::string OnigReader::bracket(bool caseless, int depth) {
  const size_t begin = at_;
  bool negated = false, simple = true;
  const Members members = read_class(depth, negated, simple);
  for (const auto& [named, inverted] : members.sets) {
    if (caseless && named.cased)
      not_supported("a set of one case within a class that disregards case");
    const bool one = named.plain.empty() && named.younger.empty() && !named.shrinks &&
                     named.properties.find("\\", 1) == std::string::npos;
    simple &= !named.shrinks && (!inverted || one);
  }
  if (caseless) {
    for (const auto& [first, last] : members.plain)
      for (char32_t c = first; c <= last && c < 0x10000; ++c)
        if (folds_to_several(c)) refuse_fold();
    if (!simple) {
      at_ = begin;
      not_supported("a class of classes that disregards case");
    }
  }
  if (!simple) {
    const CodeSet all = negated ? complement(members.all()) : members.all();
    return all.empty() ? "(?!)" : concat('[', class_of(all), ']');
  }
  std::string inside;
  for (const auto& [named, inverted] : members.sets) {
    std::string part = named.inside();
    if (inverted) part[1] = part[1] == 'p' ? 'P' : 'p';
    inside += part;
  }
  return concat(negated ? "[^" : "[", class_of(members.plain), inside, ']');
}

OnigReader::Members OnigReader::read_class(int depth, bool& negated, bool& simple) {
  if (depth > kMaxDepth) refuse("classes nested deeper than 200");
  negated = take("^");
  std::vector<Members> operands(1);
  bool first = true;
  for (;; first = false) {
    if (at_end()) refuse("a class without its ]");
    // A ] that comes first stands for itself, if another follows.
    if (next_is("]") && !(first && pattern_.find(']', at_ + 1) != pattern_.npos)) break;
    if (take("&&")) {
      operands.emplace_back();
      continue;
    }
    member(operands.back(), depth, simple);
  }
  take("]");
  if (operands.size() == 1) {
    Members& only = operands[0];
    if (only.plain.empty() && only.sets.empty()) refuse("an empty class");
    return std::move(only);
  }
  simple = false;
  Members all;
  all.plain = operands[0].all();
  for (const Members& operand : operands) all.plain = intersection(all.plain, operand.all());
  return all;
}

void OnigReader::member(Members& to, int depth, bool& simple) {
  if (next_is("[")) {
    if (posix(to)) return;
    take("[");
    bool negated = false;
    const Members inner = read_class(depth + 1, negated, simple);
    simple = false;
    to.plain = united(to.plain, negated ? complement(inner.all()) : inner.all());
    return;
  }
  char32_t from = 0;
  if (!class_character(to, from)) {  // a set: no range may begin with it
    if (next_is("-") && !next_is("-]") && !next_is("-&&")) refuse("a range that begins with a set");
    return;
  }
  char32_t to_code = from;
  if (next_is("-") && !next_is("-]") && !next_is("-&&") && at_ + 1 < pattern_.size()) {
    ++at_;
    if (next_is("[")) not_supported("a range that ends with a class");
    Members none;
    if (!class_character(none, to_code)) refuse("a range that ends with a set");
    if (to_code < from) refuse("a range that ends before it begins");
    if (next_is("-") && !next_is("-]")) not_supported("a - behind a range (write \\-)");
  }
  to.plain = united(to.plain, {{from, to_code}});
}

bool OnigReader::class_character(Members& to, char32_t& code) {
  if (!next_is("\\")) {
    code = take_character();
    return true;
  }
  if (const auto escaped = escaped_character()) {
    code = *escaped;
    return true;
  }
  take("\\");
  const char c = pattern_[at_++];
  if (c >= '1' && c <= '9') {
    char32_t octal = 0;
    int n = 0;
    for (--at_; n < 3 && !at_end() && is_octal(pattern_[at_]); ++n)
      octal = octal * 8 + char32_t(pattern_[at_++] - '0');
    if (n == 0) octal = char32_t(pattern_[at_++]);  // \8 and \9 mean the digit
    if (octal >= 0x80) refuse_byte();
    code = octal;
    return true;
  }
  if ((c == 'p' || c == 'P') && next_is("{")) {
    to.sets.push_back(property(c == 'P'));
    return false;
  }
  if (auto named = short_set(c)) {
    to.sets.emplace_back(*std::move(named), c < 'a');
    return false;
  }
  code = c == 'b' ? 0x08 : char32_t(c);
  return true;
}

bool OnigReader::posix(Members& to) {
  if (!next_is("[:")) return false;
  const size_t close = pattern_.find(":]", at_ + 2);
  const size_t end = pattern_.find_first_of("[]\\", at_ + 2);
  if (close == pattern_.npos || close > end) return false;
  std::string_view name = pattern_.substr(at_ + 2, close - at_ - 2);
  const bool negated = name.starts_with('^');
  if (negated) name.remove_prefix(1);
  auto named = posix_set(name);
  if (!named) refuse(concat("the class [:", name, ":] is not known"));
  to.sets.emplace_back(*std::move(named), negated);
  at_ = close + 2;
  return true;
}

}  // namespace hearth::llm
