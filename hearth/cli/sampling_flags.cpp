#include "hearth/cli/sampling_flags.h"

#include <algorithm>
#include <limits>

#include "hearth/cli/options.h"

namespace hearth::cli {

namespace {

// A float as the decimal number that was meant: 0.7, not 0.699999988079071.
double decimal(float value) { return std::stod(concat(value)); }

// "\\n" as typed is a newline, as for llama.cpp; what is no escape stays.
std::string unescaped(const std::string& text) {
  constexpr std::string_view kEscapes = "n\nt\tr\r\\\\\"\"''";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    size_t known = kEscapes.npos;
    if (text[i] == '\\' && i + 1 < text.size())
      for (size_t k = 0; k < kEscapes.size(); k += 2)
        if (kEscapes[k] == text[i + 1]) known = k;
    out += known == kEscapes.npos ? text[i] : kEscapes[known + 1];
    i += known != kEscapes.npos;
  }
  return out;
}

// "50256=-5" or "50256=-inf".
void add_bias(llm::SamplingOptions& options, const std::string& text) {
  const size_t equals = std::min(text.find('='), text.size());
  const auto id = parse_number<int>(text.substr(0, equals));
  const std::string value = equals < text.size() ? text.substr(equals + 1) : "";
  auto bias = parse_number<float>(value);
  if (value == "-inf") bias = -std::numeric_limits<float>::infinity();
  if (!id || *id < 0 || !bias)
    throw UsageError(
        concat("--logit-bias: '", text, "', wanted ID=NUMBER, such as 50256=-5, or ID=-inf"));
  options.logit_bias[*id] = *bias;
}

// An option, and the one without which it means nothing.
constexpr struct {
  const char *option, *needed;
} kNeeds[] = {
    {"--xtc-threshold", "--xtc-probability"},
    {"--dry-base", "--dry-multiplier"},
    {"--dry-allowed-length", "--dry-multiplier"},
    {"--dry-window", "--dry-multiplier"},
    {"--dry-sequence-breaker", "--dry-multiplier"},
    {"--mirostat-eta", "--mirostat-tau"},
    {"--logprobs", "--json"},
};

}  // namespace

void add_sampling(Command& command, llm::SamplingOptions& options) {
  each_option(options, [&](const std::string& name, auto& value, const char* meaning) {
    add_number(command, (name == "seed" ? "-s,--" : "--") + name, value, {}, meaning);
  });
  command
      .add_option("--order", options.order,
                  "Order of sampling's steps: hf, llama.cpp, mlx, vllm, or steps with commas")
      ->capture_default_str()
      ->type_name("ORDER");
  command
      .add_options_function(
          "--logit-bias",
          [&options](const std::vector<std::string>& all) {
            for (const auto& one : all) add_bias(options, one);
          },
          "Add to a token's logit; -inf forbids it (may be given several times)")
      ->type_name("ID=B")
      ->allow_extra_args(false);
  command
      .add_options_function(
          "--dry-sequence-breaker",
          [&options](const std::vector<std::string>& texts) {
            options.dry_sequence_breakers.clear();
            for (const std::string& text : texts)
              if (text != "none") options.dry_sequence_breakers.push_back(unescaped(text));
          },
          "What DRY's sequences end at, \\n a newline (may be given several times); none: nothing "
          "(default: \\n, :, \", *)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  for (const auto& [option, needed] : kNeeds) needs_one_of(command, option, {needed});
}

void check_sampling(const llm::SamplingOptions& options) {
  try {
    llm::check_options(options);
  } catch (const std::invalid_argument& error) {
    throw UsageError(concat("--", error.what()));
  }
}

bool set_sampling(llm::SamplingOptions& options, std::string name, const std::string& value) {
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "temperature") name = "temp";
  llm::SamplingOptions changed = options;
  bool found = name == "order";
  if (found) changed.order = value;
  each_option(changed, [&]<class T>(const std::string& known, T& field, const char*) {
    if (known != name) return;
    const auto number = parse_number<T>(value);
    if (!number) throw UsageError(concat(name, ": '", value, "', wanted ", Range<T>{}));
    field = *number;
    found = true;
  });
  if (!found) return false;
  try {
    llm::check_options(changed);
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  options = changed;
  return true;
}

nlohmann::ordered_json sampling_json(const llm::SamplingOptions& options) {
  nlohmann::ordered_json json;
  each_option(options, [&]<class T>(std::string name, const T& value, const char*) {
    std::replace(name.begin(), name.end(), '-', '_');
    if constexpr (std::is_same_v<T, float>)
      json[name] = decimal(value);
    else
      json[name] = value;
  });
  json["dry_sequence_breakers"] = options.dry_sequence_breakers;
  for (const auto& [id, bias] : options.logit_bias)
    if (std::isinf(bias))
      json["logit_bias"][std::to_string(id)] = "-inf";
    else
      json["logit_bias"][std::to_string(id)] = decimal(bias);
  for (const auto step : llm::sampling_order(options.order).steps)
    json["order"].push_back(to_string(step));
  return json;
}

nlohmann::json logprobs_json(const llm::Generated& generated) {
  nlohmann::json all;
  for (const auto& token : generated.logprobs) {
    auto& list = all.emplace_back();
    for (const auto& [id, logprob] : token) list.push_back({{"id", id}, {"logprob", logprob}});
  }
  return all;
}

std::string sampling_text(const llm::SamplingOptions& options) {
  std::string text;
  const auto add = [&](std::string name, const std::string& value) {
    std::replace(name.begin(), name.end(), '_', '-');
    text += concat(text.empty() ? "" : ", ", name, " ", value);
  };
  const auto usual = sampling_json({}), mine = sampling_json(options);
  add("temp", mine["temp"].dump());
  for (const auto& [name, value] : mine.items()) {
    const bool as_ever = usual.contains(name) && usual[name] == value;
    if (name != "temp" && name != "order" && !as_ever) add(name, value.dump());
  }
  if (options.order != "hf") add("order", options.order);
  return text;
}

}  // namespace hearth::cli
