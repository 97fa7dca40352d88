// The regular expressions of tokenizer.json are written for Oniguruma, in its own syntax. PCRE2 has
// another: some of it looks the same and means something else.
#pragma once
#include <string>
#include <string_view>

namespace hearth::llm {

/// `pattern` in PCRE2's words, for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE with LF as newline:
/// "a{,2}+" becomes "(?:a{0,2})+", "(?m:.)" "(?s:.)", "\h" "[0-9A-Fa-f]". Captures are kept only
/// where the pattern refers back to them. Throws std::runtime_error that names what Oniguruma does
/// not accept, or what PCRE2 cannot be told to mean.
std::string translate_onig(std::string_view pattern);

}  // namespace hearth::llm
