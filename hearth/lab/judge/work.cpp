#include "hearth/lab/judge/work.h"

#include <fstream>
#include <iterator>
#include <numeric>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth::lab {

Reading<ModelSizes> model_sizes(std::string_view config) {
  using Sizes = Reading<ModelSizes>;
  try {
    const JsonObject c = JsonObject::parse(config, "config.json");
    const std::string type = c.text("model_type");
    const bool phi = type == "phi";
    if (!phi && type != "llama" && type != "mistral" && type != "qwen2")
      return Sizes::missing("the work of a model of type " + in_quotes(type) + " is not known");
    const double D = c.positive("hidden_size"), I = c.positive("intermediate_size"),
                 V = c.positive("vocab_size");
    const int heads = c.positive("num_attention_heads");
    const double head = c.positive("head_dim", c.positive("hidden_size") / heads);
    ModelSizes m;
    m.layers = c.positive("num_hidden_layers");
    m.attention_width = heads * head;
    m.kv_width = c.positive("num_key_value_heads", heads) * head;
    const double projections = D * (2 * m.attention_width + 2 * m.kv_width);
    if (phi)  // biases everywhere; one norm of a weight and a bias
      m.layer_weights =
          projections + m.attention_width + 2 * m.kv_width + D + 2 * D * I + I + D + 2 * D;
    else  // a gate, and two norms of a weight; qwen2 has biases of q, k and v
      m.layer_weights = projections + 3 * D * I + 2 * D +
                        (type == "qwen2" ? m.attention_width + 2 * m.kv_width : 0);
    m.layer_weights = m.layer_weights * m.layers + (phi ? 2 * D : D);  // the last norm
    m.head_weights = V * D + (phi ? V : 0);
    return m;
  } catch (const std::exception& error) {
    return Sizes::missing(error.what());
  }
}

namespace {

// Keys and values are kept in the weights' type, or in halves where those are quantised.
double kv_bytes(const ModelSizes& m, double bytes_per_weight) {
  return 2 * m.layers * m.kv_width * (bytes_per_weight >= 2 ? bytes_per_weight : 2);
}

}  // namespace

Work decode_work(const ModelSizes& m, double bytes_per_weight, double context, double batch) {
  const double weights = m.layer_weights + m.head_weights;
  return {.bytes = weights * bytes_per_weight + batch * context * kv_bytes(m, bytes_per_weight),
          .operations = batch * (2 * weights + 4 * m.layers * m.attention_width * (context + 1))};
}

Work prefill_work(const ModelSizes& m, double bytes_per_weight, double tokens, double batch) {
  return {.bytes = (m.layer_weights + m.head_weights) * bytes_per_weight +
                   batch * tokens * kv_bytes(m, bytes_per_weight),
          // Each token attends to those before it: half of the square.
          .operations = batch * (2 * m.layer_weights * tokens + 2 * m.head_weights +
                                 2 * m.layers * m.attention_width * tokens * (tokens + 1))};
}

Reading<Work> op_work(const Job& job) {
  const auto& s = job.shape;
  const double size = job.dtype == "f64"                          ? 8
                      : job.dtype == "f32"                        ? 4
                      : job.dtype == "f16" || job.dtype == "bf16" ? 2
                                                                  : 0;
  const double all =
      std::accumulate(s.begin(), s.end(), 1.0, [](double a, int b) { return a * b; });
  if (size > 0) {
    if (job.op == "matmul" && s.size() == 3) {
      const double m = s[0], k = s[1], n = s[2];
      return Work{(m * k + k * n + m * n) * size, 2 * m * k * n};
    }
    if (job.op == "matvec" && s.size() == 2) return Work{(all + s[0] + s[1]) * size, 2 * all};
    if (job.op == "conv2d" && s.size() == 6) {
      const double n = s[0], h = s[1], w = s[2], c = s[3], o = s[4], k = s[5];
      const double places = n * (h - k + 1) * (w - k + 1);
      return Work{(n * h * w * c + o * k * k * c + places * o) * size, 2 * places * o * k * k * c};
    }
    if (job.op == "sum") return Work{all * size, all};
    // Read once, written once; the arithmetic is a few operations each.
    if (job.op == "softmax" || job.op == "layer_norm" || job.op == "gelu")
      return Work{2 * all * size, 5 * all};
  }
  return Reading<Work>::missing(concat("the work of ", job.op, " in ", job.dtype, " is not known"));
}

Reading<std::string> model_config(const Result& result, const Job& job) {
  for (const Fact& fact : result.environment)
    if (fact.name == "model_config") return fact.value;
  std::ifstream file(std::filesystem::path(job.model) / "config.json", std::ios::binary);
  std::string text(1 << 20, 0);  // no config is longer
  file.read(text.data(), std::streamsize(text.size()));
  text.resize(size_t(file.gcount()));
  if (job.model.empty() || text.empty())
    return Reading<std::string>::missing("the model's config.json is not here");
  return text;
}

}  // namespace hearth::lab
