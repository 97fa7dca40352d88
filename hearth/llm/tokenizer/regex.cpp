#define PCRE2_CODE_UNIT_WIDTH 8
#include "hearth/llm/tokenizer/regex.h"

#include <pcre2.h>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/onig.h"

namespace hearth::llm {
namespace {

// Far above what the pre-tokenizers of known models need for any text: a match of theirs takes a
// few steps a character.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr size_t kJitStackBytes = 8 << 20;

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = "";
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
  const std::string translated = translate_onig(pattern);
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
  if (code == nullptr) ensure(false, "regular expression '", pattern, "': ", message_of(error));
  code_ = {code,
           [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); }};
  // Without the JIT (a processor it does not know) pcre2_match interprets: slower, same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

std::optional<Regex::Match> Regex::find(std::string_view text, size_t from, Memory& memory) const {
  const auto& [data, context, stack] = *memory.parts_;
  const auto match = [&, &d = data, &c = context](uint32_t options) {
    return pcre2_match(static_cast<const pcre2_code*>(code_.get()),
                       reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, d, c);
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);  // slower, on the heap
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result < 0)  // else there is no message
    ensure(false, "tokenizer: the pre-tokenizer's expression failed at byte ", from,
           " of the text: ", message_of(result));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
  return Match{range[0], range[1]};
}

}  // namespace hearth::llm
