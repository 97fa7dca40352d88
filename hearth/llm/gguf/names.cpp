#include "hearth/llm/gguf/names.h"

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/json.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

/// model_type -> the architecture that it is written as.
constexpr std::pair<std::string_view, std::string_view> kWritten[] = {
    {"llama", "llama"},       {"mistral", "llama"},         {"mixtral", "llama"},
    {"qwen2", "qwen2"},       {"qwen3", "qwen3"},           {"qwen3_moe", "qwen3moe"},
    {"gemma2", "gemma2"},     {"gemma3_text", "gemma3"},    {"phi", "phi2"},
    {"granite", "granite"},   {"olmo2", "olmo2"},           {"smollm3", "smollm3"},
    {"seed_oss", "seed_oss"}, {"starcoder2", "starcoder2"},
};

std::string only_renamed(const std::string& name, std::span<const Rewrite> rules) {
  fast::Matrices one;
  one.emplace(name, array(0.0f));
  std::vector<Rewrite> renames;
  for (const Rewrite& rule : rules)
    if (rule.operation == Rewrite::rename) renames.push_back(rule);
  return rewrite(std::move(one), renames, false).begin()->first;
}

std::optional<std::string> found_in(const std::map<std::string, std::string>& names,
                                    std::string name) {
  constexpr std::string_view kLayer = "model.layers.", kBlock = "blk.";
  std::string number;
  if (name.starts_with(kLayer)) {
    const size_t end = std::min(name.find('.', kLayer.size()), name.size());
    number = name.substr(kLayer.size(), end - kLayer.size());
    name.replace(kLayer.size(), number.size(), "0");
  }
  const auto found = names.find(name);
  if (found == names.end()) return std::nullopt;
  std::string to = found->second;
  if (to.starts_with(kBlock)) to.replace(kBlock.size(), 1, number);
  return to;
}

}  // namespace

const GgufArchitecture& gguf_architecture_of(const std::string& where, const std::string& type) {
  std::vector<std::string_view> types;
  for (const auto& [model_type, name] : kWritten) {
    types.push_back(model_type);
    if (model_type != type) continue;
    for (const GgufArchitecture& known : gguf_architectures())
      if (known.name == name) return known;
  }
  ensure(false, where, ": a model of the type ", in_quotes(type),
         ", which hearth cannot write into a GGUF file; it writes: ",
         listed(types, ", ", types.size()));
  return gguf_architectures()[0];
}

GgufNames::GgufNames(const GgufArchitecture& architecture, std::span<const Rewrite> of_model) {
  for (const auto rules : {std::span<const Rewrite>(architecture.names), gguf_names()})
    for (const Rewrite& rule : rules)
      if (rule.operation == Rewrite::rename && rule.from != "^blk.*.") add(architecture, rule);
  for (const auto& [name, written] : written_)
    of_parameters_.emplace(only_renamed(name, of_model), written);
}

// The first of several that become the same.
void GgufNames::add(const GgufArchitecture& architecture, const Rewrite& rule) {
  std::string name = rule.from;
  if (name.ends_with('$')) name.pop_back();
  name = name.starts_with('^') ? name.substr(1) : "blk.0" + name;
  for (const std::string end : {"weight", "bias"}) {
    const std::string written = name.ends_with('.') ? name + end : name;
    written_.emplace(only_renamed(only_renamed(written, architecture.names), gguf_names()),
                     written);
  }
}

std::string gguf_name_of(const Gguf& file, const std::string& name) {
  return GgufNames(gguf_architecture(file), {}).of_tensor(name).value_or(name);
}

GgufNames gguf_names_of(const std::filesystem::path& path, const LanguageModel& model) {
  if (const auto gguf = find_gguf(path))
    return GgufNames(gguf_architecture(Gguf::open(*gguf)), model.rewrites());
  return GgufNames(gguf_architecture_of(path.string(), model.facts.type), model.rewrites());
}

std::optional<std::string> GgufNames::of_tensor(const std::string& name) const {
  return found_in(written_, name);
}
std::optional<std::string> GgufNames::of_parameter(const std::string& name) const {
  return found_in(of_parameters_, name);
}

}  // namespace hearth::llm
