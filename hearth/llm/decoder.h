// Decoding: one step, traced once and run again for every token, its state kept where it computes.
#pragma once
#include <memory>

#include "hearth/core/eval.h"
#include "hearth/llm/model.h"
#include "hearth/llm/row_samplers.h"

namespace hearth::llm {

class Decoder {
 public:
  /// `ids` int32 (batch): the token after those in the cache, of each row. The cache, and the
  /// model, are in use as long as the decoder lives.
  Decoder(LanguageModel& model, KvCache& cache, RowSamplers& sampler, const array& ids);

  /// Starts the next step: feeds the ids, gives those that follow, int32 (batch). Does not wait
  /// for them; throws when the context is full.
  array step();
  /// (batch, vocab), of the latest step; the memory is written again by the next.
  const array& logits() const { return logits_; }

 private:
  Arrays trace();

  LanguageModel& model_;
  KvCache& cache_;
  RowSamplers& sampler_;
  array ids_, logits_;           // int32 (batch)
  int steps_ = 0, growths_ = 0;  // of the recording: the cache's
  std::unique_ptr<Recording> recording_;
};

}  // namespace hearth::llm
