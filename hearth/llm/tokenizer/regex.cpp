#define PCRE2_CODE_UNIT_WIDTH 8
#include "hearth/llm/tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>

#include "hearth/base/error.h"

namespace hearth::llm {
namespace {

// Far above what the pre-tokenizers of known models need for any text: a match of theirs takes a
// few steps a character.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr size_t kJitStackBytes = 8 << 20;

// What \s means to Oniguruma, that is Unicode's White_Space. PCRE2's \s has U+180E too.
constexpr std::string_view kSpaces =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// `pattern` in PCRE2's words where the two differ. What PCRE2 cannot say, or would silently
// understand otherwise (classes within classes), is an error.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (c == '\\' && next != '\0') {
      ++i;
      if (next == 's') {
        in_class ? out += kSpaces : out += concat('[', kSpaces, ']');
      } else if (next == 'S' && !in_class) {
        out += concat("[^", kSpaces, ']');
      } else if (next == 'h') {
        out += in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]";
      } else {
        out += c, out += next;
      }
      continue;
    }
    if (in_class) {
      ensure((c != '[' || next == ':') && (c != '&' || next != '&'), "regular expression '",
             pattern, "': classes within classes are not supported");
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      out += c;
      if (next == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += "\\]", ++i;
      continue;
    }
    if (in_class && c == '[') {  // [:alpha:] and its like, whole
      const size_t end = std::min(pattern.find(":]", i), pattern.size() - 2);
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
      continue;
    }
    out += c;
  }
  return out;
}

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Regex::Memory::Parts {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);  // the whole match is all we ask
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);
  Parts() {
    ensure(data && context && stack, "tokenizer: no memory for the regular expression's search");
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Parts() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

Regex::Memory::Memory() : parts_(std::make_unique<Parts>()) {}
Regex::Memory::~Memory() = default;

Regex::Regex(const std::string& pattern) {
  const std::string translated = translate(pattern);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  ensure(context != nullptr, "regular expression: no memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &where, context.get());
  ensure(code != nullptr, "regular expression '", pattern, "': ", message_of(error));
  code_ = {code,
           [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); }};
  // Without the JIT (a processor it does not know) pcre2_match interprets: slower, same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

std::optional<Regex::Match> Regex::find(std::string_view text, size_t from, Memory& memory) const {
  const auto& [data, context, stack] = *memory.parts_;
  const int result = pcre2_match(static_cast<const pcre2_code*>(code_.get()),
                                 reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                 PCRE2_NO_UTF_CHECK, data, context);
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  ensure(result >= 0, "tokenizer: the pre-tokenizer's expression failed at byte ", from,
         " of the text: ", message_of(result));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
  return Match{range[0], range[1]};
}

}  // namespace hearth::llm
