#include "hearth/llm/template/text.h"

#include <utf8proc.h>

#include <algorithm>

#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm::jinja {

Text::Text(std::string bytes, bool from_input) : bytes_(std::move(bytes)) {
  if (from_input && !bytes_.empty()) changes_.push_back(0);
}

void Text::append(std::string_view bytes, bool from_input) {
  if (bytes.empty()) return;
  if (from_input != (changes_.size() % 2 == 1)) changes_.push_back(uint32_t(bytes_.size()));
  bytes_ += bytes;
}

void Text::append(const Text& other, size_t begin, size_t end) {
  auto change = std::upper_bound(other.changes_.begin(), other.changes_.end(), uint32_t(begin));
  bool mark = (change - other.changes_.begin()) % 2 == 1;
  for (size_t at = begin; at < end; mark = !mark) {
    const size_t next = change == other.changes_.end() ? end : std::min(end, size_t(*change++));
    append(std::string_view(other.bytes_).substr(at, next - at), mark);
    at = next;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text part;
  if (begin < end) part.append(*this, begin, end);
  return part;
}

bool Text::from_input(size_t at) const {
  const auto change = std::upper_bound(changes_.begin(), changes_.end(), uint32_t(at));
  return (change - changes_.begin()) % 2 == 1;
}

std::vector<Text::Piece> Text::pieces() const {
  std::vector<Piece> all;
  size_t at = 0;
  bool mark = false;
  const std::string_view whole = bytes_;
  for (size_t i = 0; i <= changes_.size(); ++i, mark = !mark) {
    const size_t next = i < changes_.size() ? changes_[i] : whole.size();
    if (next > at) all.push_back({whole.substr(at, next - at), mark});
    at = next;
  }
  return all;
}

char32_t next_character(std::string_view text, size_t& at) {
  const Utf8Step step = utf8_step(text.substr(at));
  at += size_t(step.length);
  return step.code;
}

size_t length(std::string_view text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t byte_of(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at)
    if ((text[at] & 0xC0) != 0x80 && index-- == 0) break;
  return at;
}

namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(utf8proc_int32_t(c)); }

// Characters whose upper case is several (SpecialCasing.txt, the entries without a condition).
struct Upper {
  char16_t c, to[3];
};
constexpr Upper kUppers[] = {
    {0xDF, {0x53, 0x53, 0}},         {0x149, {0x2BC, 0x4E, 0}},
    {0x1F0, {0x4A, 0x30C, 0}},       {0x390, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}},  {0x587, {0x535, 0x552, 0}},
    {0x1E96, {0x48, 0x331, 0}},      {0x1E97, {0x54, 0x308, 0}},
    {0x1E98, {0x57, 0x30A, 0}},      {0x1E99, {0x59, 0x30A, 0}},
    {0x1E9A, {0x41, 0x2BE, 0}},      {0x1F50, {0x3A5, 0x313, 0}},
    {0x1F52, {0x3A5, 0x313, 0x300}}, {0x1F54, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}}, {0x1F80, {0x1F08, 0x399, 0}},
    {0x1F81, {0x1F09, 0x399, 0}},    {0x1F82, {0x1F0A, 0x399, 0}},
    {0x1F83, {0x1F0B, 0x399, 0}},    {0x1F84, {0x1F0C, 0x399, 0}},
    {0x1F85, {0x1F0D, 0x399, 0}},    {0x1F86, {0x1F0E, 0x399, 0}},
    {0x1F87, {0x1F0F, 0x399, 0}},    {0x1F88, {0x1F08, 0x399, 0}},
    {0x1F89, {0x1F09, 0x399, 0}},    {0x1F8A, {0x1F0A, 0x399, 0}},
    {0x1F8B, {0x1F0B, 0x399, 0}},    {0x1F8C, {0x1F0C, 0x399, 0}},
    {0x1F8D, {0x1F0D, 0x399, 0}},    {0x1F8E, {0x1F0E, 0x399, 0}},
    {0x1F8F, {0x1F0F, 0x399, 0}},    {0x1F90, {0x1F28, 0x399, 0}},
    {0x1F91, {0x1F29, 0x399, 0}},    {0x1F92, {0x1F2A, 0x399, 0}},
    {0x1F93, {0x1F2B, 0x399, 0}},    {0x1F94, {0x1F2C, 0x399, 0}},
    {0x1F95, {0x1F2D, 0x399, 0}},    {0x1F96, {0x1F2E, 0x399, 0}},
    {0x1F97, {0x1F2F, 0x399, 0}},    {0x1F98, {0x1F28, 0x399, 0}},
    {0x1F99, {0x1F29, 0x399, 0}},    {0x1F9A, {0x1F2A, 0x399, 0}},
    {0x1F9B, {0x1F2B, 0x399, 0}},    {0x1F9C, {0x1F2C, 0x399, 0}},
    {0x1F9D, {0x1F2D, 0x399, 0}},    {0x1F9E, {0x1F2E, 0x399, 0}},
    {0x1F9F, {0x1F2F, 0x399, 0}},    {0x1FA0, {0x1F68, 0x399, 0}},
    {0x1FA1, {0x1F69, 0x399, 0}},    {0x1FA2, {0x1F6A, 0x399, 0}},
    {0x1FA3, {0x1F6B, 0x399, 0}},    {0x1FA4, {0x1F6C, 0x399, 0}},
    {0x1FA5, {0x1F6D, 0x399, 0}},    {0x1FA6, {0x1F6E, 0x399, 0}},
    {0x1FA7, {0x1F6F, 0x399, 0}},    {0x1FA8, {0x1F68, 0x399, 0}},
    {0x1FA9, {0x1F69, 0x399, 0}},    {0x1FAA, {0x1F6A, 0x399, 0}},
    {0x1FAB, {0x1F6B, 0x399, 0}},    {0x1FAC, {0x1F6C, 0x399, 0}},
    {0x1FAD, {0x1F6D, 0x399, 0}},    {0x1FAE, {0x1F6E, 0x399, 0}},
    {0x1FAF, {0x1F6F, 0x399, 0}},    {0x1FB2, {0x1FBA, 0x399, 0}},
    {0x1FB3, {0x391, 0x399, 0}},     {0x1FB4, {0x386, 0x399, 0}},
    {0x1FB6, {0x391, 0x342, 0}},     {0x1FB7, {0x391, 0x342, 0x399}},
    {0x1FBC, {0x391, 0x399, 0}},     {0x1FC2, {0x1FCA, 0x399, 0}},
    {0x1FC3, {0x397, 0x399, 0}},     {0x1FC4, {0x389, 0x399, 0}},
    {0x1FC6, {0x397, 0x342, 0}},     {0x1FC7, {0x397, 0x342, 0x399}},
    {0x1FCC, {0x397, 0x399, 0}},     {0x1FD2, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}}, {0x1FD6, {0x399, 0x342, 0}},
    {0x1FD7, {0x399, 0x308, 0x342}}, {0x1FE2, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}}, {0x1FE4, {0x3A1, 0x313, 0}},
    {0x1FE6, {0x3A5, 0x342, 0}},     {0x1FE7, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x399, 0}},    {0x1FF3, {0x3A9, 0x399, 0}},
    {0x1FF4, {0x38F, 0x399, 0}},     {0x1FF6, {0x3A9, 0x342, 0}},
    {0x1FF7, {0x3A9, 0x342, 0x399}}, {0x1FFC, {0x3A9, 0x399, 0}},
    {0xFB00, {0x46, 0x46, 0}},       {0xFB01, {0x46, 0x49, 0}},
    {0xFB02, {0x46, 0x4C, 0}},       {0xFB03, {0x46, 0x46, 0x49}},
    {0xFB04, {0x46, 0x46, 0x4C}},    {0xFB05, {0x53, 0x54, 0}},
    {0xFB06, {0x53, 0x54, 0}},       {0xFB13, {0x544, 0x546, 0}},
    {0xFB14, {0x544, 0x535, 0}},     {0xFB15, {0x544, 0x53B, 0}},
    {0xFB16, {0x54E, 0x546, 0}},     {0xFB17, {0x544, 0x53D, 0}},
};

void append_character(Text& text, char32_t c, bool mark) {
  std::string bytes;
  append_utf8(bytes, c);
  text.append(bytes, mark);
}

void append_upper(Text& text, char32_t c, bool mark, bool title_case = false) {
  const auto* found = std::lower_bound(std::begin(kUppers), std::end(kUppers), c,
                                       [](const Upper& u, char32_t x) { return u.c < x; });
  if (found == std::end(kUppers) || found->c != c) {
    const auto simple =
        title_case ? utf8proc_totitle(utf8proc_int32_t(c)) : utf8proc_toupper(utf8proc_int32_t(c));
    return append_character(text, char32_t(simple), mark);
  }
  bool first = true;
  for (char16_t u : found->to) {
    if (u == 0) break;
    const bool lower_it = title_case && !first;  // "Ss" of a sharp s
    append_character(text, lower_it ? char32_t(utf8proc_tolower(u)) : char32_t(u), mark);
    first = false;
  }
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

// A capital sigma at the end of a word is written otherwise.
bool final_sigma(std::string_view text, size_t begin, size_t end) {
  size_t before = begin;
  while (before > 0 && (text[--before] & 0xC0) == 0x80) {
  }
  size_t at = before;
  const bool letter_before = begin > 0 && is_cased(next_character(text, at));
  return letter_before && !(end < text.size() && is_cased(next_character(text, end)));
}

void append_lower(Text& to, char32_t c, bool mark, std::string_view text, size_t begin,
                  size_t end) {
  constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2, kDottedI = 0x130, kDot = 0x307;
  if (c == kSigma && final_sigma(text, begin, end)) return append_character(to, kFinalSigma, mark);
  if (c == kDottedI) {
    append_character(to, U'i', mark);
    return append_character(to, kDot, mark);
  }
  append_character(to, char32_t(utf8proc_tolower(utf8proc_int32_t(c))), mark);
}

/// each(to, character, mark, begin, end) for every character.
template <class F>
Text mapped(const Text& text, F&& each) {
  Text to;
  const std::string_view bytes = text.str();
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const char32_t c = next_character(bytes, at);
    each(to, c, text.from_input(begin), begin, at);
  }
  return to;
}

}  // namespace

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}
bool is_letter(char32_t c) {
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_digit(char32_t c) {  // and the raised, lowered and circled ones
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
         (c >= 0x2460 && c <= 0x2468) || c == 0x24EA;
}
bool is_numeric(char32_t c) {
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_printable(char32_t c) {
  if (c == U' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}
bool is_line_break(char32_t c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

Text upper(const Text& text) {
  return mapped(text,
                [](Text& to, char32_t c, bool mark, size_t, size_t) { append_upper(to, c, mark); });
}
Text lower(const Text& text) {
  return mapped(text, [&](Text& to, char32_t c, bool mark, size_t begin, size_t end) {
    append_lower(to, c, mark, text.str(), begin, end);
  });
}
Text casefold(const Text& text) {
  return mapped(text, [](Text& to, char32_t c, bool mark, size_t, size_t) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    const auto n =
        utf8proc_decompose_char(utf8proc_int32_t(c), folded, 8, UTF8PROC_CASEFOLD, &boundary);
    for (int i = 0; i < n; ++i) append_character(to, char32_t(folded[i]), mark);
  });
}
Text swapcase(const Text& text) {
  return mapped(text, [&](Text& to, char32_t c, bool mark, size_t begin, size_t end) {
    is_upper(c) ? append_lower(to, c, mark, text.str(), begin, end) : append_upper(to, c, mark);
  });
}
Text title(const Text& text) {
  bool inside = false;
  return mapped(text, [&](Text& to, char32_t c, bool mark, size_t begin, size_t end) {
    inside ? append_lower(to, c, mark, text.str(), begin, end) : append_upper(to, c, mark, true);
    inside = is_cased(c);
  });
}
Text capitalize(const Text& text) {
  return mapped(text, [&](Text& to, char32_t c, bool mark, size_t begin, size_t end) {
    begin == 0 ? append_upper(to, c, mark, true)
               : append_lower(to, c, mark, text.str(), begin, end);
  });
}

Text strip(const Text& text, const std::string* these, bool left, bool right) {
  const std::string_view bytes = text.str();
  std::u32string set;
  if (these)
    for (size_t at = 0; at < these->size();) set += next_character(*these, at);
  std::sort(set.begin(), set.end());
  const auto goes = [&](char32_t c) {
    return these ? std::binary_search(set.begin(), set.end(), c) : is_space(c);
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!goes(next_character(bytes, next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t last = end - 1;
    while (last > begin && (bytes[last] & 0xC0) == 0x80) --last;
    size_t at = last;
    if (!goes(next_character(bytes, at))) break;
    end = last;
  }
  return text.slice(begin, end);
}

namespace {

std::vector<Text> split_spaces(const Text& text, int64_t most) {
  std::vector<Text> parts;
  const std::string_view bytes = text.str();
  size_t at = 0;
  while (at < bytes.size()) {
    size_t next = at;
    if (is_space(next_character(bytes, next))) {
      at = next;
      continue;
    }
    if (most >= 0 && int64_t(parts.size()) == most) {
      parts.push_back(strip(text.slice(at, bytes.size()), nullptr, false, true));
      break;
    }
    size_t end = next;
    while (end < bytes.size()) {
      next = end;
      if (is_space(next_character(bytes, next))) break;
      end = next;
    }
    parts.push_back(text.slice(at, end));
    at = end;
  }
  return parts;
}

std::vector<Text> rsplit_spaces(const Text& text, int64_t most) {
  // Where the words are, then the last ones of them.
  std::vector<std::pair<size_t, size_t>> words;
  const std::string_view bytes = text.str();
  bool inside = false;
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const bool space = is_space(next_character(bytes, at));
    if (!space && !inside) words.push_back({begin, at});
    if (!space) words.back().second = at;
    inside = !space;
  }
  std::vector<Text> parts;
  size_t first = 0;
  if (most >= 0 && int64_t(words.size()) > most) {
    first = words.size() - size_t(most);
    parts.push_back(text.slice(0, words[first - 1].second));  // white space before it stays
  }
  for (size_t i = first; i < words.size(); ++i)
    parts.push_back(text.slice(words[i].first, words[i].second));
  return parts;
}

}  // namespace

std::vector<Text> split(const Text& text, const std::string* by, int64_t most) {
  if (!by) return split_spaces(text, most);
  std::vector<Text> parts;
  size_t at = 0;
  for (size_t found; (found = text.str().find(*by, at)) != std::string::npos &&
                     (most < 0 || int64_t(parts.size()) < most);
       at = found + by->size())
    parts.push_back(text.slice(at, found));
  parts.push_back(text.slice(at, text.size()));
  return parts;
}

std::vector<Text> rsplit(const Text& text, const std::string* by, int64_t most) {
  if (!by) return rsplit_spaces(text, most);
  std::vector<Text> parts;
  size_t end = text.size();
  while (most < 0 || int64_t(parts.size()) < most) {
    if (end < by->size()) break;
    const size_t found = text.str().rfind(*by, end - by->size());
    if (found == std::string::npos) break;
    parts.push_back(text.slice(found + by->size(), end));
    end = found;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const std::string_view bytes = text.str();
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = at;
    const char32_t c = next_character(bytes, at);
    if (!is_line_break(c)) continue;
    if (c == U'\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    lines.push_back(text.slice(begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

}  // namespace hearth::llm::jinja
