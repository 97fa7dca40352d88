#include "hearth/llm/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/unicode_set.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(utf8proc_int32_t(c)); }

#include "hearth/llm/tokenizer/unicode_ages.inc"

// Whether Hugging Face's tables say of `c` the opposite of utf8proc's.
bool other_age(std::span<const CodeRange> ranges, char32_t c) {
  const auto found = std::partition_point(ranges.begin(), ranges.end(),
                                          [&](const CodeRange& range) { return range.last < c; });
  return found != ranges.end() && found->first <= c;
}

bool within(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

// The part of the text that may change: characters that no form leaves alone, behind one that it
// does, with which the first of them may join.
void append_changed(std::string& out, std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  const auto options = utf8proc_option_t(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> codes;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    text.remove_prefix(size_t(step.length));
    constexpr int kMost = 32;  // U+FDFA becomes 18
    utf8proc_int32_t parts[kMost];
    int boundary = 0;
    const auto count = other_age(kCompatibleOfAnotherAge, step.code)
                           ? -1
                           : utf8proc_decompose_char(utf8proc_int32_t(step.code), parts, kMost,
                                                     options, &boundary);
    if (count < 0 || count > kMost)
      codes.push_back(utf8proc_int32_t(step.code));
    else
      codes.insert(codes.end(), parts, parts + count);
  }
  // Runs of marks in the order of their classes. The library's own way takes the square of a run.
  const auto order = [](utf8proc_int32_t c) {
    const auto combining = utf8proc_get_property(c)->combining_class;
    return combining && other_age(kMarksOfAnotherAge, char32_t(c)) ? 0 : combining;
  };
  for (auto from = codes.begin(); from != codes.end();) {
    if (order(*from) == 0) {
      ++from;
      continue;
    }
    const auto to = std::find_if(from, codes.end(), [&](auto c) { return order(c) == 0; });
    std::stable_sort(from, to, [&](auto a, auto b) { return order(a) < order(b); });
    from = to;
  }
  if (compose) {
    const auto size =
        utf8proc_normalize_utf32(codes.data(), utf8proc_ssize_t(codes.size()),
                                 utf8proc_option_t(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    ensure(size >= 0, "tokenizer: ", utf8proc_errmsg(size));
    codes.resize(size_t(size));
  }
  for (const auto code : codes) append_utf8(out, char32_t(code));
}

}  // namespace

bool is_space(char32_t c) {
  return within(c, 0x9, 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         within(c, 0x2000, 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_number(char32_t c) {
  if (c < 0x80) return within(c, '0', '9');
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO) !=
         other_age(kNumbersOfAnotherAge, c);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return within(c, '!', '/') || within(c, ':', '@') || within(c, '[', '`') || within(c, '{', '~');
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO) !=
         other_age(kPunctuationOfAnotherAge, c);
}

bool is_mark(char32_t c) {
  const auto kind = c < 0x300 ? UTF8PROC_CATEGORY_CN : category(c);
  return (kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME) !=
         other_age(kMarksOfAnotherAge, c);
}

bool is_nonspacing_mark(char32_t c) {
  return c >= 0x300 &&
         (category(c) == UTF8PROC_CATEGORY_MN) != other_age(kNonspacingMarksOfAnotherAge, c);
}

bool is_other(char32_t c) {
  if (c < 0x80) return c < 0x20 || c == 0x7F;
  const auto kind = category(c);
  return (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
          kind == UTF8PROC_CATEGORY_CO) != other_age(kOthersOfAnotherAge, c);
}

bool is_word(char32_t c) {
  if (c < 0x80) return within(c | 32, 'a', 'z') || within(c, '0', '9') || c == '_';
  const auto kind = category(c);
  if (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) return true;  // L, M, Nd, Nl
  return kind == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D || within(c, 0x24B6, 0x24E9) ||
         within(c, 0x1F130, 0x1F149) ||  // letters in circles
         within(c, 0x1F150, 0x1F169) || within(c, 0x1F170, 0x1F189);
}

void append_lowercase(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(within(c, 'A', 'Z') ? c | 32 : c);
    return;
  }
  for (const auto& [first, last, way] : kCapitalsOfAnotherAge)
    if (within(c, first, last)) return append_utf8(text, char32_t(int(c) + way));
  append_utf8(text, c == 0x130 ? U'i' : char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
  if (c == 0x130) append_utf8(text, 0x307);
}

void append_normalized(std::string& out, std::string_view text, NormalForm form) {
  // Below these every character stays as it is, and none joins the one before it.
  const char32_t inert = form == NormalForm::nfc ? 0x300 : 0x80;
  size_t done = 0, before = 0;  // before: where the last inert character begins
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      before = at++;
      continue;
    }
    const Utf8Step step = utf8_step(text.substr(at));
    if (step.code < inert) {
      before = at;
      at += size_t(step.length);
      continue;
    }
    size_t end = at;
    while (end < text.size()) {
      const Utf8Step next = utf8_step(text.substr(end));
      if (next.code < inert) break;
      end += size_t(next.length);
    }
    const size_t begin = std::max(done, before);
    out += text.substr(done, begin - done);
    append_changed(out, text.substr(begin, end - begin), form);
    done = before = at = end;
  }
  out += text.substr(done);
}

size_t grapheme_length(std::string_view text) {
  Utf8Step step = utf8_step(text);
  size_t length = size_t(step.length);
  utf8proc_int32_t state = 0;
  while (length < text.size()) {
    // Between two characters of ASCII there is a boundary, except within CR LF.
    if (step.code < 0x80 && static_cast<unsigned char>(text[length]) < 0x80 && step.code != '\r')
      return length;
    const Utf8Step next = utf8_step(text.substr(length));
    if (utf8proc_grapheme_break_stateful(utf8proc_int32_t(step.code), utf8proc_int32_t(next.code),
                                         &state))
      return length;
    length += size_t(next.length);
    step = next;
  }
  return length;
}

}  // namespace hearth::llm
