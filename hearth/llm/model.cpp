#include "hearth/llm/model.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "hearth/backend/pool.h"
#include "hearth/base/listed.h"
#include "hearth/core/allocate.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/io/checkpoint.h"
#include "hearth/io/file_hash.h"
#include "hearth/llm/recognize.h"
#include "hearth/llm/registry.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

StepInfo step_info(const KvCache& cache, const std::vector<int>& lengths, int length) {
  bool known = length > 1;  // else it is an operation that a recorded step repeats
  std::vector<int> totals;
  for (int b = 0; b < cache.batch(); ++b) {
    totals.push_back(std::max(cache.length(b) + lengths[size_t(b)], cache.expected(b)));
    known = known || cache.expected(b) > cache.length(b) + 1;
  }
  return {
      cache.offsets(),
      known ? array(totals.begin(), Shape{cache.batch()}, int32) : add(cache.offsets(), array(1)),
      lengths};
}

/// The positions of a step, each as one of its own.
std::vector<StepInfo> positions_of(const StepInfo& step, int length) {
  std::vector<StepInfo> all;
  for (int l = 0; l < length; ++l) {
    const array offsets = add(step.offsets, array(l));
    StepInfo& one = all.emplace_back(StepInfo{offsets, add(offsets, array(1)), {}});
    for (const int n : step.lengths) one.lengths.push_back(n > l);
  }
  return all;
}

}  // namespace

array LanguageModel::forward(const Step& step, KvCache& cache) {
  const array& tokens = step.tokens;
  check(tokens.ndim() == 2 && tokens.shape(0) == cache.batch() && tokens.shape(1) > 0,
        "forward: tokens of shape ", tokens.shape(), ", wanted (", cache.batch(), ", 1 or more)");
  const int batch = tokens.shape(0), length = tokens.shape(1);
  const std::vector<int> lengths =
      step.lengths.empty() ? std::vector<int>(size_t(batch), length) : step.lengths;
  check(int(lengths.size()) == batch, "forward: ", lengths.size(), " lengths for ", batch, " rows");
  for (int n : lengths)
    check(n > 0 && n <= length, "forward: a row of ", n, " tokens in a step of ", length);
  check(!step.drafted || batch * length <= kMostDrafted, "forward: ", batch, " rows of ", length,
        " drafted tokens; wanted at most ", kMostDrafted, " together");
  cache.reserve(length);
  StepInfo info = step_info(cache, lengths, length);
  if (step.drafted && length > 1) info.each = positions_of(info, length);
  array h = hidden(tokens, info, cache);  // (batch, length, hidden)
  cache.advance(lengths);
  if (step.last_only && length > 1) {
    Arrays last;
    for (int b = 0; b < batch; ++b)
      last.push_back(slice(h, {b, lengths[b] - 1, 0}, {b + 1, lengths[b], h.shape(2)}));
    h = batch == 1 ? last[0] : concatenate(last, 0);  // (batch, 1, hidden)
  }
  return logits(h);
}

KvCache LanguageModel::make_cache(int batch) const { return KvCache(cache_shape(), batch); }

KvCache LanguageModel::make_cache(std::span<const RowState> rows) const {
  return KvCache(cache_shape(), rows);
}

array LanguageModel::features(const array& tokens) {
  const int batch = tokens.shape(0), length = tokens.shape(1);
  KvCache cache = make_cache(batch);
  cache.reserve(length);
  const std::vector<int> lengths(size_t(batch), length);
  return normed(hidden(tokens, step_info(cache, lengths, length), cache));
}

size_t LanguageModel::state_bytes(int length, Dtype dtype) const {
  size_t bytes = 0;
  for (const StateShape& state : states())
    for (const Shape& part : state.parts) {
      size_t elements = 1;
      for (const int n : part) elements *= size_t(n);
      if (state.kind == StateShape::positions)
        elements *= size_t(state.window > 0 ? std::min(length, state.window) : length);
      const bool fixed = state.kind == StateShape::fixed;
      bytes += elements * size_of(fixed ? state.dtype.value_or(dtype) : dtype);
    }
  return bytes;
}

size_t LanguageModel::state_bytes(std::span<const int> lengths, int step) const {
  if (lengths.empty()) return 0;
  return KvCache::nbytes_of(cache_shape(), int(lengths.size()), *std::ranges::max_element(lengths),
                            step);
}

// A table of which a token takes a row.
static bool looked_up(const std::string& name, const nn::Parameters& all) {
  return name.ends_with("embed_positions.weight") || name.ends_with("per_layer.embedding.weight") ||
         (name.ends_with("embed_tokens.weight") && all.contains("lm_head.weight"));
}

LanguageModel::Costs LanguageModel::costs(Dtype dtype) {
  Costs costs;
  const nn::Parameters all = parameters();
  for (const auto& [name, p] : all) {
    const double active = read_share(name) * double(p->size());
    costs.parameters += p->size();
    costs.active += size_t(active);
    if (!looked_up(name, all)) costs.bytes_per_token += size_t(active * double(size_of(dtype)));
  }
  return costs;
}

double LanguageModel::bytes_per_step(int rows) {
  double bytes = 0;
  const nn::Parameters all = parameters();
  for (const auto& [name, p] : all)
    if (!looked_up(name, all))
      bytes += (1 - std::pow(1 - read_share(name), rows)) * double(p->size()) *
               double(size_of(facts.dtype));
  return bytes;
}

Dtype config_dtype(const JsonObject& config) {
  return parse_dtype(config.text("dtype", config.text("torch_dtype", "float32")));
}

Dtype parse_dtype(std::string_view text) {
  for (Dtype d : {float16, bfloat16, float32})
    if (text == to_string(d) || text == short_name(d)) return d;
  check(false, "dtype '", text, "' is not one of f16, bf16, f32");
  return float32;
}

namespace {

std::vector<int> ids_of(const std::filesystem::path& folder, const JsonObject& config,
                        const char* key) {
  const auto path = folder / "generation_config.json";
  if (std::filesystem::exists(path)) {
    auto ids = JsonObject::read(path).naturals(key);
    if (!ids.empty()) return ids;
  }
  return config.naturals(key);
}

std::string gigabytes(size_t bytes) { return fmt::format("{:.2f} GB", double(bytes) / 1e9); }

/// Before anything is loaded: what will not fit is refused, with what would.
void check_memory(const LanguageModel& model, size_t elements, Dtype dtype,
                  std::optional<int> context) {
  const Device device = default_device();
  const size_t free = backend(device.type)->memory(device.index).free;
  const auto needs = [&](Dtype d, int positions) {
    return elements * size_of(d) + (positions ? model.state_bytes(positions, d) : 0);
  };
  const int wanted = context.value_or(0);
  if (free == 0 || needs(dtype, wanted) <= free) return;
  std::string fits;
  if (size_of(dtype) > 2 && needs(float16, wanted) <= free)
    fits = concat("--dtype f16 or bf16 (", gigabytes(needs(float16, wanted)), ")");
  int longest = 0, beyond = wanted;  // until they are neighbours
  while (beyond - longest > 1) {
    const int half = longest + (beyond - longest) / 2;
    (needs(dtype, half) <= free ? longest : beyond) = half;
  }
  if (longest > 0) fits += concat(fits.empty() ? "" : ", or ", "--context ", longest);
  ensure(false, "load: the weights need ", gigabytes(elements * size_of(dtype)), " as ",
         short_name(dtype),
         wanted ? concat(", the state of ", wanted, " tokens ",
                         gigabytes(model.state_bytes(wanted, dtype)))
                : "",
         "; ", gigabytes(free), " are free on ", device, ". ",
         fits.empty() ? "Nothing of this model would fit: choose a smaller one"
                      : "What would fit: " + fits);
}

/// Keeps the memory of the parameters in the machine's.
void lock(const nn::Parameters& parameters) {
  ensure(default_device() == Device(Device::cpu),
         "load: --mlock is for weights in the memory of the CPU");
  for (const auto& [name, p] : parameters) {
    if (p->nbytes() == 0 || ::mlock(p->host_bytes(), p->nbytes()) == 0) continue;
    const int error = errno;
    rlimit limit{};
    ::getrlimit(RLIMIT_MEMLOCK, &limit);
    ensure(false,
           "load: the weights cannot be locked in memory: ", std::generic_category().message(error),
           "; this process may lock ", limit.rlim_cur >> 10, " KiB (ulimit -l)");
  }
}

// The weights and biases of all parts.
std::set<const array*> parts_of(std::span<const LanguageModel::Joined> joined) {
  std::set<const array*> all;
  for (const auto& j : joined)
    for (nn::Linear* part : j.parts) {
      all.insert(&part->weight.dense);
      if (part->bias) all.insert(&*part->bias);
    }
  return all;
}

void join(const LanguageModel::Joined& j, Device device) {
  std::vector<array*> weights, biases;
  for (nn::Linear* part : j.parts) {
    weights.push_back(&part->weight.dense);
    if (part->bias) biases.push_back(&*part->bias);
  }
  nn::Linear& whole = j.whole->emplace(*j.parts[0]);
  whole.weight.dense = place_joined(weights, device);
  if (!biases.empty()) whole.bias = place_joined(biases, device);
}

}  // namespace

std::unique_ptr<LanguageModel> load_model(const std::filesystem::path& folder,
                                          const LoadOptions& options) {
  const JsonObject whole = read_config(folder), config = language_config(whole);
  std::unique_ptr<LanguageModel> model = make_model(whole);
  auto& facts = model->facts;
  FileHash hash = FileHash::sha256();
  hash.add(whole.raw().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  facts.config_hash = hash.digits();
  if (options.context) {
    check(*options.context >= 1 && *options.context <= facts.context_length, "load: a context of ",
          *options.context, ", the model's is ", facts.context_length);
    facts.context_length = *options.context;
  }
  facts.dtype = options.dtype.value_or(config_dtype(config));
  nn::Parameters parameters = model->parameters();
  size_t elements = 0;
  for (auto& [name, p] : parameters) elements += p->size();
  check_memory(*model, elements, facts.dtype, options.context);
  Tensors tensors;
  if (!options.random_weights) {
    refuse_packed(folder, config);
    tensors = arranged(folder, *model, load_checkpoint(folder), /*values=*/true);
    parameters = model->parameters();  // a head that is not tied after all
  }
  facts.bos = ids_of(folder, config, "bos_token_id");
  facts.eos = ids_of(folder, config, "eos_token_id");
  const Device device = default_device();
  const auto joined = options.join.value_or(device != Device(Device::cpu))
                          ? model->joined()
                          : std::vector<LanguageModel::Joined>();
  const std::set<const array*> parts = parts_of(joined);
  const auto place_whole = [&](array& p) {
    if (device != Device(Device::cpu) && !parts.contains(&p)) place(std::span(&p, 1), device);
  };
  if (options.random_weights) {
    fill_random(parameters, facts.dtype, options.seed, place_whole);
    for (auto& [name, p] : parameters)
      if (model->exact(name)) *p = astype(*p, float32);
  } else {
    nn::load(parameters, std::exchange(tensors, {}));
    Arrays all;
    for (auto& [name, p] : parameters) {
      const Dtype dtype = model->exact(name) ? float32 : facts.dtype;
      const bool mapped = options.mapped || p->dtype() != dtype;
      all.push_back(*p = mapped ? astype(*p, dtype) : copy(*p));
    }
    eval(all);
  }
  for (auto& [name, p] : parameters) place_whole(*p);
  for (const auto& j : joined) join(j, device);
  if (options.locked) lock(parameters);
  for (auto& [name, p] : parameters) facts.weights_bytes += p->nbytes();
  facts.bytes_per_token = model->costs(facts.dtype).bytes_per_token;
  return model;
}

namespace {

uint64_t splitmix64(uint64_t x) {  // Steele, Lea, Flood 2014: a full-period mixing of a counter
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

}  // namespace

void fill_random(const nn::Parameters& parameters, Dtype dtype, uint64_t seed,
                 const std::function<void(array&)>& made) {
  constexpr int64_t kChunk = 1 << 20;  // elements: one seed each
  constexpr float kSpread = 0.02f;     // initializer_range of Phi and most others
  uint64_t tensor = 0;
  for (auto& [name, p] : parameters) {
    array& parameter = *p;
    ++tensor;
    const bool norm = name.find("norm") != std::string::npos && name.ends_with("weight");
    const int64_t n = int64_t(parameter.size());
    visit(Types<float16_t, bfloat16_t, float>{}, dtype, "random weights", [&]<class T>() {
      // 4,096 values of a uniform distribution with the wanted deviation; looked up by random bits.
      std::vector<T> table(4096);
      for (size_t i = 0; i < table.size(); ++i)
        table[i] = T((norm ? 1.0f : 0.0f) + kSpread * 1.7320508f * (float(i) - 2047.5f) / 2048.0f);
      parameter = uninitialized(parameter.shape(), dtype);
      T* out = reinterpret_cast<T*>(parameter.node().data());
      cpu::parallel_for((n + kChunk - 1) / kChunk, [&](int64_t chunk) {
        uint64_t state = splitmix64(seed * 0x100000001b3u + (tensor << 32) + uint64_t(chunk));
        const int64_t end = std::min(n, (chunk + 1) * kChunk);
        for (int64_t i = chunk * kChunk; i < end;) {
          uint64_t bits = splitmix64(state++);
          for (int k = 0; k < 5 && i < end; ++k, bits >>= 12) out[i++] = table[bits & 4095];
        }
      });
    });
    if (made) made(parameter);
  }
}

}  // namespace hearth::llm
