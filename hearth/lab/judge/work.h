// What a job must do whatever engine does it: bytes to move and operations to compute.
#pragma once
#include <string>
#include <string_view>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Of one step: a token of every row, a prompt, a call.
struct Work {
  double bytes = 0;       // read at least once from memory, if nothing stays in the caches
  double operations = 0;  // a multiply-add is two
};

/// A decoder's sizes, as far as its work depends on them.
struct ModelSizes {
  double layers = 0, attention_width = 0;  // heads * head size
  double kv_width = 0;                     // of the keys of a token in a layer, and of its values
  double layer_weights = 0, head_weights = 0;  // of all layers; of the last projection
};
/// From the text of a config.json: phi, llama, mistral, qwen2; missing for other model types.
Reading<ModelSizes> model_sizes(std::string_view config);

/// A token of each of `batch` rows that have `context` tokens before it. Every weight but the
/// embedding is read once for all rows, each row's keys and values for itself.
Work decode_work(const ModelSizes& sizes, double bytes_per_weight, double context, double batch);
/// A prompt of `tokens` for each row, and the logits of its last token.
Work prefill_work(const ModelSizes& sizes, double bytes_per_weight, double tokens, double batch);
/// A call of an op's job; missing for ops whose work is not written here.
Reading<Work> op_work(const Job& job);

/// The config.json of the run's model: the fact "model_config", else the file in the job's folder.
Reading<std::string> model_config(const Result& result, const Job& job);

}  // namespace hearth::lab
