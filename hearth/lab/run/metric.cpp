#define PCRE2_CODE_UNIT_WIDTH 8
#include "hearth/lab/run/metric.h"

#include <pcre2.h>

#include <cmath>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/result.h"
#include "hearth/lab/run/child_process.h"
#include "hearth/lab/telemetry/files.h"

namespace hearth::lab {

namespace {

constexpr uint32_t kMatchLimit = 10'000'000;

std::string message_of(int code) {
  PCRE2_UCHAR text[256] = "";
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

Metric::Metric(std::string pattern) : pattern_(std::move(pattern)) {
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern_.data()), pattern_.size(),
                    PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr);
  if (code == nullptr)
    check(false, "metric '", pattern_, "': at ", where + 1, ": ", message_of(error));
  code_ = {code,
           [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); }};
  uint32_t groups = 0;
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
  check(groups > 0, "metric '", pattern_, "': wanted a group in brackets around the number");
}

double Metric::find(std::string_view text) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  ensure(context && data, "metric: no memory for the search");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                                data.get(), context.get());
  if (found == PCRE2_ERROR_NOMATCH)
    throw EngineFault(concat("its output has no ", in_quotes(pattern_)));
  if (found < 0)
    throw EngineFault(
        concat("its output was not searched for ", in_quotes(pattern_), ": ", message_of(found)));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
  const auto word = found > 1 && range[2] != PCRE2_UNSET && range[3] >= range[2]
                        ? text.substr(range[2], range[3] - range[2])
                        : std::string_view();
  const auto number = number_of(word);
  if (!number)
    throw EngineFault(concat("its output has ", in_quotes(word), " where ", in_quotes(pattern_),
                             " wants a number"));
  return *number;
}

}  // namespace hearth::lab
