// The samplers of rows that are decoded together: rows with the same options share one.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hearth/llm/sampler.h"

namespace hearth::llm {

/// A row draws as it would alone, whoever its neighbours are. 32 rows with the same options cost
/// one chain of operations, with 32 different ones 32 chains.
class RowSamplers {
 public:
  /// Of one row.
  explicit RowSamplers(std::unique_ptr<Sampler> sampler);
  struct Row {
    const RowSamplers* from;
    int row;
  };
  /// Rows of others, in this order, as they are now.
  explicit RowSamplers(std::span<const Row> rows);

  /// logits (rows, vocab) -> tokens int32 (rows), as Sampler gives them.
  array operator()(const array& logits);
  /// What changes from call to call.
  Arrays state() const;
  void set_state(const Arrays& state);

 private:
  struct Part {
    std::unique_ptr<Sampler> sampler;
    std::vector<int> rows;  // which of all are its own
  };
  Sampler::Row at(int row) const;

  std::vector<Part> parts_;
  std::optional<array> places_;  // int32 (rows): where each stands in what the parts give, one part
                                 // after another; none: in order
};

}  // namespace hearth::llm
