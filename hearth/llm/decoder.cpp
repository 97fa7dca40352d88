#include "hearth/llm/decoder.h"

#include "hearth/ops/ops.h"

namespace hearth::llm {

Decoder::Decoder(LanguageModel& model, KvCache& cache, RowSamplers& sampler, const array& ids)
    : model_(model), cache_(cache), sampler_(sampler), ids_(copy(ids)), logits_(ids) {
  eval(ids_);
}

// One step as a graph. What is kept from step to step is written in place, after all that reads it.
Arrays Decoder::trace() {
  const int batch = cache_.batch();
  const array offsets = cache_.offsets();
  const Arrays before = sampler_.state();
  const std::vector<LayerState> states = cache_.states();
  const array logits = model_.forward({reshape(ids_, {batch, 1}), {}, true}, cache_);
  logits_ = reshape(logits, {batch, logits.shape(2)});
  const array next = sampler_(logits_);
  Arrays outputs{logits_, next};
  for (size_t i = 0; i < states.size(); ++i) {
    LayerState& state = cache_.states()[i];
    for (size_t p = 0; p < state.parts.size(); ++p) {
      if (state.fixed) state.parts[p] = assign(states[i].parts[p], state.parts[p]);
      outputs.push_back(state.parts[p]);
    }
  }
  ids_ = assign(ids_, next);
  const array after = assign(offsets, add(offsets, array(1)));
  cache_.keep_offsets(after);
  outputs.insert(outputs.end(), {ids_, after});
  Arrays state = sampler_.state();
  for (size_t i = 0; i < state.size(); ++i)
    outputs.push_back(state[i] = assign(before[i], state[i]));
  sampler_.set_state(state);
  return outputs;
}

array Decoder::step() {
  cache_.reserve(1);
  const bool grown = cache_.growths() != growths_;
  growths_ = cache_.growths();
  // A step of several devices is not recorded.
  if (steps_ == 0 || grown || model_.facts.host.any()) {
    // As usual, so that everything is loaded, tuned and in its place before it is recorded.
    recording_.reset();
    cache_.keep_offsets(copy(cache_.offsets()));
    for (LayerState& state : cache_.states())
      if (state.fixed)
        for (array& part : state.parts) part = copy(part);  // memory that no one else has
    async_eval(trace());
    steps_ = 1;
  } else {
    if (!recording_) {
      recording_ = std::make_unique<Recording>(trace());
    } else {
      const array offsets = cache_.offsets();
      const std::vector<int> one(size_t(cache_.batch()), 1);
      cache_.advance(one);
      cache_.keep_offsets(offsets);
    }
    recording_->run();
    ++steps_;
  }
  array ids = copy(ids_);
  async_eval(ids);
  return ids;
}

}  // namespace hearth::llm
