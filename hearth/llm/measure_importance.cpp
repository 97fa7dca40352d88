// Importance, measured: what a text makes of the inputs of each product, found in the graph of a
// step before it runs.
#include <cmath>
#include <set>
#include <unordered_map>

#include "hearth/base/error.h"
#include "hearth/core/eval.h"
#include "hearth/llm/gguf/names.h"
#include "hearth/llm/importance.h"
#include "hearth/llm/model.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth::llm {

namespace {

/// What a matrix is multiplied by: x (..., in), and the experts that its rows are given to.
struct Product {
  const array* weight;  // its first plane
  array x;
  const array* ids;  // (..., K) of x (..., K or 1, in); null: all rows
};

array input_of(const fast::Linear& op, const SmallVector<array, 3>& in) {
  if (!op.norm) return in[0];
  std::optional<array> weight, bias;
  if (op.norm->scaled) weight = in[1];
  if (op.norm->shifted) bias = in[size_t(1 + op.norm->scaled)];
  return op.norm->rms ? fast::rms_norm(in[0], weight, op.norm->eps)
                      : fast::layer_norm(in[0], weight, bias, op.norm->eps);
}

/// The products of a node.
void add_products(const Node& node, std::vector<Product>& to) {
  const auto& in = node.inputs;
  const std::span<const array> all(in.begin(), in.end());
  const auto parts_of = [&](const auto& parts, size_t first, const array& x, const array* ids) {
    fast::Operands operands(all, first);
    for (const auto& part : parts) {
      to.push_back({&operands.weight(part.packing)[0], x, ids});
      operands.bias(part.bias);
    }
  };
  if (const auto* op = dynamic_cast<const fast::Linear*>(node.op.get()))
    return parts_of(op->parts, op->first_part(), input_of(*op, in), nullptr);
  if (const auto* op = dynamic_cast<const fast::ExpertLinear*>(node.op.get()))
    return parts_of(op->parts, 2, in[0], &in[1]);
  if (const auto* op = dynamic_cast<const fast::LinearSum*>(node.op.get())) {
    fast::Operands operands(all, 0);
    for (const auto& term : op->terms) {
      const array& x = operands.take();
      to.push_back({&operands.weight(term.packing)[0], x, nullptr});
      operands.bias(term.bias);
    }
  }
}

/// Those that the result is computed by.
std::vector<Product> products_of(const array& result) {
  std::vector<Product> products;
  std::set<const Node*> seen;
  std::vector<const Node*> open{&result.node()};
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    if (!seen.insert(node).second) continue;
    if (node->op) add_products(*node, products);
    for (const array& input : node->inputs) open.push_back(&input.node());
  }
  return products;
}

/// Sums of squares and counts: (1, in) and (1), or (E, in) and (E).
std::pair<array, array> sums_of(const Product& p) {
  const array x = astype(p.x, float32);
  const int in = x.shape(-1);
  if (!p.ids) {
    const array rows = reshape(x, {int(x.size()) / in, in});
    return {sum(square(rows), 0, true), array({float(rows.shape(0))})};
  }
  Shape shape = p.ids->shape();
  const int chosen = int(p.ids->size()), experts = p.weight->shape(0);
  shape.push_back(in);
  const array rows = reshape(broadcast_to(x, shape), {chosen, in});
  const array to =
      equal(reshape(*p.ids, {1, chosen}), reshape(arange(0, experts, 1), {experts, 1}));
  const array weights = astype(to, float32);  // (E, rows)
  return {matmul(weights, square(rows)), sum(weights, -1)};
}

/// The names of the layers' weights in a file, by what is multiplied: a joined one has several.
std::unordered_multimap<const Node*, std::string> named_weights(LanguageModel& model,
                                                                const GgufNames& names) {
  std::unordered_multimap<const Node*, std::string> all;
  std::unordered_map<const array*, std::string> by_place;
  for (const auto& [name, p] : model.parameters())
    if (const auto written = names.of_parameter(name); written && written->starts_with("blk.")) {
      all.emplace(&p.planes()[0].node(), *written);
      by_place.emplace(&p.planes()[0], *written);
    }
  for (const LanguageModel::Joined& joined : model.joined())
    for (nn::Linear* part : joined.parts)
      if (const auto name = by_place.find(&part->weight.planes()[0]);
          *joined.whole && name != by_place.end())
        all.emplace(&(*joined.whole)->weight.planes()[0].node(), name->second);
  return all;
}

/// While somebody watches, no layer runs before all of a step is built: it has no graph then.
class Watched {
 public:
  explicit Watched(LanguageModel& model) : model_(model) {
    if (!before_) model.watch = [](const std::string&, const array&) {};
  }
  ~Watched() { model_.watch = before_; }
  Watched(const Watched&) = delete;

 private:
  LanguageModel& model_;
  const std::function<void(const std::string&, const array&)> before_ = model_.watch;
};

}  // namespace

Importance measure_importance(LanguageModel& model, const GgufNames& names,
                              std::span<const int> ids, const ImportanceOptions& options,
                              const std::function<bool(size_t, size_t)>& progress) {
  const int length = options.window;
  check(length > 1 && length <= model.facts.context_length, "imatrix: windows of ", length,
        " tokens; wanted 2 to the model's context, ", model.facts.context_length);
  const size_t chunks = ids.size() / size_t(length);
  ensure(chunks > 0, "imatrix: ", ids.size(), " tokens are less than a window of ", length,
         ": give a longer text or a smaller --window");
  const auto of = named_weights(model, names);
  const Watched watched(model);
  Importance all;
  all.chunk_tokens = uint32_t(length);
  for (size_t i = 0; i < chunks; ++i) {
    std::vector<int> window(ids.begin() + long(i) * length, ids.begin() + long(i + 1) * length);
    if (options.first) window[0] = *options.first;
    auto cache = model.make_cache();
    const array tokens(window.begin(), Shape{1, length}, int32);
    const array logits = model.forward({tokens, {}, true}, cache);
    std::vector<std::string> found;
    Arrays wanted{logits};
    for (const Product& product : products_of(logits)) {
      const auto [first, last] = of.equal_range(&product.weight->node());
      if (first == last) continue;
      const auto [sums, counts] = sums_of(product);
      for (auto name = first; name != last; ++name) {
        found.push_back(name->second);
        wanted.push_back(sums), wanted.push_back(counts);
      }
    }
    eval(wanted);
    for (size_t k = 0; k < found.size(); ++k) {
      const auto sums = flatten(wanted[1 + 2 * k]).to_vector<float>(),
                 counts = wanted[2 + 2 * k].to_vector<float>();
      auto& columns = all.tensors[found[k]];
      columns.sums.resize(sums.size(), 0.0f), columns.counts.resize(counts.size(), 0.0f);
      for (size_t c = 0; c < sums.size(); ++c) {
        columns.sums[c] += sums[c];
        if (!std::isfinite(columns.sums[c]))
          ensure(false, "imatrix: what ", found[k], " is multiplied by is not finite in window ",
                 i);
      }
      for (size_t c = 0; c < counts.size(); ++c) columns.counts[c] += counts[c];
    }
    ++all.chunks;
    if (progress && !progress((i + 1) * size_t(length), chunks * size_t(length))) break;
  }
  return all;
}

}  // namespace hearth::llm
