#include "hearth/llm/finite.h"

#include <algorithm>

#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

bool finite(const array& x) { return all(isfinite(x)).item<bool>(); }

/// Where the first value that is not finite arises when `ids` are fed: "layer 3"; empty: nowhere.
std::string origin(LanguageModel& model, std::span<const int> ids) {
  constexpr size_t kChunk = 256;
  std::string where;
  model.watch = [&](const std::string& part, const array& x) {
    if (where.empty() && !finite(x)) where = part;
  };
  try {
    KvCache cache = model.make_cache();
    for (size_t at = 0; at < ids.size() && where.empty(); at += kChunk) {
      const auto chunk = ids.subspan(at, std::min(kChunk, ids.size() - at));
      const array tokens(chunk.begin(), Shape{1, int(chunk.size())}, int32);
      const array logits = model.forward({tokens, {}, true}, cache);
      if (where.empty() && !finite(logits)) where = "the last layer, in the logits";
    }
  } catch (...) {
    model.watch = nullptr;
    throw;
  }
  model.watch = nullptr;
  return where;
}

/// The first parameter of that part with a value that is not finite; empty if there is none.
std::string damaged_parameter(LanguageModel& model, const std::string& part) {
  const bool layer = part.starts_with("layer ");
  const std::string key = layer ? ".layers." + part.substr(6) + "." : ".layers.";
  for (const auto& [name, p] : model.parameters())
    if ((name.find(key) != name.npos) == layer && !finite(fast::dequantize(p.value(), bfloat16)))
      return name_before(name, model.rewrites());
  return {};
}

}  // namespace

void fail_not_finite(LanguageModel& model, std::span<const int> ids, std::string_view who) {
  const std::string not_finite =
      concat(who, ": the logits after ", ids.size(), " tokens are not finite (NaN or infinity)");
  const std::string where = origin(model, ids);
  ensure(!where.empty(), not_finite,
         ", though they are when these tokens are fed at once: the fault is in a step of decoding");
  const std::string name = damaged_parameter(model, where);
  const Dtype dtype = model.facts.dtype;
  const std::string place = where.starts_with("layer ")
                                ? concat(where, " of ", model.facts.layers, " layers (from 0)")
                                : where;
  throw std::runtime_error(concat(
      not_finite, ", and the hidden states are not since ", place, ": ",
      !name.empty() ? concat("its weight ", name, " holds such values; fetch the model again")
      : dtype == float32
          ? std::string("its weights are finite, so the model itself overflows float32")
          : concat("its weights are finite, so ", short_name(dtype), " overflows; try --dtype ",
                   dtype == float16 ? "bf16 or f32" : "f32")));
}

void check_finite(LanguageModel& model, const array& logits, std::span<const int> ids,
                  std::string_view who) {
  if (!finite(logits)) fail_not_finite(model, ids, who);
}

}  // namespace hearth::llm
