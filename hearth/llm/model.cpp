#include "hearth/llm/model.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "hearth/backend/pool.h"
#include "hearth/base/listed.h"
#include "hearth/core/allocate.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/io/file_hash.h"
#include "hearth/llm/recognize.h"
#include "hearth/llm/registry.h"
#include "hearth/llm/weight_rows.h"
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

bool OnHost::holds(const std::string& parameter, bool tied) const {
  constexpr std::string_view kLayer = "model.layers.";
  if (!parameter.starts_with(kLayer))
    return layers > 0 && !tied &&
           (parameter.starts_with("model.embed_") || parameter.starts_with("model.per_layer"));
  const int layer = std::atoi(parameter.c_str() + kLayer.size());
  const bool expert = parameter.find(".experts.") != parameter.npos;
  return layer < layers || (expert && layer < experts);
}

size_t LanguageModel::state_bytes(int length, Dtype dtype) const {
  return state_bytes(length, dtype, OnHost{});
}

size_t LanguageModel::state_bytes(int length, Dtype dtype, const OnHost& host) const {
  const CacheShape shape{states(), facts.context_length, dtype, facts.state};
  size_t bytes = 0;
  for (size_t i = size_t(host.layers); i < shape.layers.size(); ++i)
    for (const StateShape& layer = shape.layers[i]; const Shape& part : layer.parts) {
      const int kept = layer.window > 0 ? std::min(length, layer.window) : length;
      const bool fixed = layer.kind == StateShape::fixed;
      bytes += element_count(fixed ? part : shape.positions(1, part, kept)) *
               size_of(shape.dtype_of(layer));
    }
  return bytes;
}

size_t LanguageModel::state_bytes(std::span<const int> lengths, int step) const {
  if (lengths.empty()) return 0;
  return KvCache::nbytes_of(cache_shape(), int(lengths.size()), *std::ranges::max_element(lengths),
                            step);
}

// Is the head the embedding?
static bool is_tied(const nn::Parameters& all) { return !all.contains("lm_head.weight"); }

// A table of which a token takes a row.
static bool looked_up(const std::string& name, const nn::Parameters& all) {
  return name.ends_with("embed_positions.weight") || name.ends_with("per_layer.embedding.weight") ||
         (name.ends_with("embed_tokens.weight") && !is_tied(all));
}

// What a parameter takes in a model of that dtype.
template <class P>
static size_t bytes_in(const P& p, Dtype dtype) {
  return p.packed() ? p.nbytes() : p.size() * size_of(dtype);
}

LanguageModel::Costs LanguageModel::costs(Dtype dtype) {
  Costs costs;
  const nn::Parameters all = parameters();
  for (const auto& [name, p] : all) {
    const double share = read_share(name);
    costs.parameters += p.size();
    costs.active += size_t(share * double(p.size()));
    const size_t bytes = exact(name) ? p.size() * sizeof(float) : bytes_in(p, dtype);
    costs.bytes += bytes;
    if (looked_up(name, all)) continue;
    costs.bytes_per_token += size_t(share * double(bytes));
    if (facts.host.holds(name, is_tied(all)))
      costs.host_bytes_per_token += size_t(share * double(bytes));
  }
  return costs;
}

double LanguageModel::bytes_per_step(int rows) {
  double bytes = 0;
  const nn::Parameters all = parameters();
  for (const auto& [name, p] : all)
    if (!looked_up(name, all))
      bytes += (1 - std::pow(1 - read_share(name), rows)) * double(bytes_in(p, facts.dtype));
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

std::vector<int> ids_of(const Checkpoint& checkpoint, const JsonObject& config, const char* key) {
  std::vector<int> ids;
  if (checkpoint.generation) ids = checkpoint.generation->naturals(key);
  return ids.empty() ? config.naturals(key) : ids;
}

/// What a model computes in: what its packed weights are taken in where their scales are floats,
/// else what config.json names.
Dtype dtype_of(const nn::Parameters& parameters, const JsonObject& config) {
  for (const auto& [name, p] : parameters)
    if (p.packed() && p.planes().size() > 1 && is_floating(p.planes()[1].dtype()))
      return p.value().dtype();
  return config_dtype(config);
}

std::string gigabytes(size_t bytes) { return fmt::format("{:.2f} GB", double(bytes) / 1e9); }

/// The shape of weights that are packed as the settings say; their values come later.
void pack_shapes(LanguageModel& model, const Checkpoint& checkpoint) {
  for (const auto& [name, p] : model.parameters()) {
    if (!p.matrix() || model.exact(name)) continue;
    const Packing packing = checkpoint.packing(name, p->shape(-1));
    if (packing == Packing::dense || !packs(packing, p->shape(-1))) continue;
    Arrays planes;
    for (int i = 0; i < packing_info(packing).planes; ++i) {
      const Plane plane = plane_of(packing, i, p->shape(-1));
      Shape shape = p->shape();
      shape.back() = int(plane.row);
      planes.push_back(zeros(shape, plane.dtype.value_or(model.facts.dtype)));
    }
    p.set(fast::Matrix(packing, planes, model.facts.dtype));
  }
}

/// What of the model is in the memory of the default device.
size_t device_bytes(LanguageModel& model, Dtype dtype, int positions, const OnHost& host) {
  size_t bytes = positions ? model.state_bytes(positions, dtype, host) : 0;
  const nn::Parameters all = model.parameters();
  for (const auto& [name, p] : all)
    if (!host.holds(name, is_tied(all))) bytes += bytes_in(p, dtype);
  return bytes;
}

/// As much as a device has room for, and as little of the rest as can be: experts first, since of
/// them a token needs few.
OnHost as_fits(LanguageModel& model, Dtype dtype, int positions, size_t free) {
  const size_t room = free - free / 16;  // steps need some
  const auto fits = [&](const OnHost& host) {
    return device_bytes(model, dtype, positions, host) <= room;
  };
  const int layers = model.facts.layers;
  const bool experts = std::ranges::any_of(
      model.parameters(), [](const auto& p) { return p.first.find(".experts.") != p.first.npos; });
  OnHost host;
  while (!fits(host) && experts && host.experts < layers) ++host.experts;
  while (!fits(host) && host.layers < layers) ++host.layers;
  return fits(host) ? host : OnHost{};
}

/// What is asked for, else what there is room for.
OnHost spread_of(LanguageModel& model, Dtype dtype, const LoadOptions& options) {
  const Device device = default_device();
  const int layers = model.facts.layers;
  const bool asked = options.device_layers || options.host_experts;
  if (device == Device(Device::cpu)) {
    check(!asked,
          "load: parts of a model on the CPU, and the rest on it too; choose the device "
          "that the rest is for (--device)");
    return {};
  }
  check(options.device_layers.value_or(0) >= 0 && options.host_experts.value_or(0) >= 0,
        "load: fewer layers than none");
  if (asked)
    return {layers - std::min(layers, options.device_layers.value_or(layers)),
            std::min(layers, options.host_experts.value_or(0))};
  const size_t free = backend(device.type)->memory(device.index).free;
  const int positions = options.context.value_or(std::min(4096, model.facts.context_length));
  return free == 0 ? OnHost{} : as_fits(model, dtype, positions, free);
}

/// Before anything is loaded: what will not fit is refused, with what would.
void check_memory(LanguageModel& model, Dtype dtype, std::optional<int> context) {
  const Device device = default_device();
  const size_t free = backend(device.type)->memory(device.index).free;
  const auto needs = [&](Dtype d, int positions) {
    return device_bytes(model, d, positions, model.facts.host);
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
  ensure(false, "load: the weights need ", gigabytes(needs(dtype, 0)), " as ", short_name(dtype),
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
  for (const auto& [name, p] : parameters)
    for (const array& plane : p.planes()) {
      if (plane.nbytes() == 0 || ::mlock(plane.host_bytes(), plane.nbytes()) == 0) continue;
      const int error = errno;
      rlimit limit{};
      ::getrlimit(RLIMIT_MEMLOCK, &limit);
      ensure(false, "load: the weights cannot be locked in memory: ",
             std::generic_category().message(error), "; this process may lock ",
             limit.rlim_cur >> 10, " KiB (ulimit -l)");
    }
}

std::set<const array*> planes_on_host(LanguageModel& model) {
  std::set<const array*> planes;
  const nn::Parameters all = model.parameters();
  for (const auto& [name, p] : all)
    if (model.facts.host.holds(name, is_tied(all)))
      for (const array& plane : p.planes()) planes.insert(&plane);
  return planes;
}

// What may be one product, if it is dense and not on the host.
std::vector<LanguageModel::Joined> joinable(LanguageModel& model,
                                            const std::set<const array*>& on_host) {
  auto all = model.joined();
  std::erase_if(all, [&](const LanguageModel::Joined& j) {
    return std::ranges::any_of(j.parts, [&](nn::Linear* part) {
      return part->weight.packed() || on_host.contains(&part->weight.planes()[0]);
    });
  });
  return all;
}

// The weights and biases of all parts.
std::set<const array*> parts_of(std::span<const LanguageModel::Joined> joined) {
  std::set<const array*> all;
  for (const auto& j : joined)
    for (nn::Linear* part : j.parts) {
      all.insert(&part->weight.planes()[0]);
      if (part->bias) all.insert(&*part->bias);
    }
  return all;
}

void join(const LanguageModel::Joined& j, Device device) {
  std::vector<array*> weights, biases;
  for (nn::Linear* part : j.parts) {
    weights.push_back(&part->weight.planes()[0]);
    if (part->bias) biases.push_back(&*part->bias);
  }
  nn::Linear& whole = j.whole->emplace(*j.parts[0]);
  whole.weight = place_joined(weights, device);
  if (!biases.empty()) whole.bias = place_joined(biases, device);
}

void take_in_int8(const nn::Parameters& parameters, Device device) {
  constexpr std::string_view what = "load: activations in int8 are for ";
  ensure(device == Device(Device::cpu), what, "the CPU; leave them out on ", device);
  bool any = false;
  for (const auto& [name, p] : parameters)
    if (p.packed()) p.set(p.value().with_int8(true)), any = true;
  ensure(any, what, "packed weights, of which this model has none; leave them out");
}

}  // namespace

std::unique_ptr<LanguageModel> load_model(const ModelFiles& files, const LoadOptions& options) {
  return load_model(read_checkpoint(files), options);
}

std::unique_ptr<LanguageModel> load_model(const Checkpoint& checkpoint,
                                          const LoadOptions& options) {
  const JsonObject &whole = checkpoint.config, config = language_config(whole);
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
  if (!options.random_weights) {
    fast::Matrices read = checkpoint.tensors(/*values=*/true);
    if (options.verify) verify_weights(checkpoint.where, read, checkpoint.named);
    auto tensors = arranged(checkpoint.where, *model, std::move(read), /*values=*/true);
    nn::load(model->parameters(), tensors);
  }
  const nn::Parameters parameters = model->parameters();
  facts.dtype = options.dtype ? *options.dtype : dtype_of(parameters, config);
  ensure(options.state == Packing::dense || default_device() == Device(Device::cpu),
         "load: keys and values in ", state_name(options.state),
         " are for the CPU; leave --kv out on ", default_device());
  facts.state = options.state;
  if (options.random_weights && checkpoint.packing) pack_shapes(*model, checkpoint);
  model->spread(spread_of(*model, facts.dtype, options));
  check_memory(*model, facts.dtype, options.context);
  facts.bos = ids_of(checkpoint, config, "bos_token_id");
  facts.eos = ids_of(checkpoint, config, "eos_token_id");
  const Device device = default_device();
  if (!options.random_weights) {
    Arrays all;
    for (auto& [name, p] : parameters) {
      const bool exact = model->exact(name);
      std::optional<StreamScope> where;
      if (facts.host.holds(name, is_tied(parameters))) where.emplace(Device::cpu);
      const fast::Matrix stored = p.value();
      p.set(exact ? fast::Matrix(fast::dequantize(stored, float32)) : stored.as(facts.dtype));
      for (size_t i = 0; i < p.planes().size(); ++i) {
        array& plane = p.planes()[i];
        const bool as_stored = plane.same_node(stored.planes()[i]);
        if (!options.mapped && as_stored) plane = copy(plane);
        if (p.packed()) plane = contiguous(plane);  // as kernels read it, once and for all
        all.push_back(plane);
      }
    }
    eval(all);
  }
  const std::set<const array*> on_host = planes_on_host(*model);
  const auto joined = options.join.value_or(device != Device(Device::cpu))
                          ? joinable(*model, on_host)
                          : std::vector<LanguageModel::Joined>();
  const std::set<const array*> parts = parts_of(joined);
  const auto place_whole = [&](array& p) {
    if (device == Device(Device::cpu) || parts.contains(&p)) return;
    place(std::span(&p, 1), on_host.contains(&p) ? Device(Device::cpu) : device);
  };
  if (options.random_weights) {
    fill_random(parameters, facts.dtype, options.seed, place_whole);
    for (auto& [name, p] : parameters)
      if (model->exact(name)) *p = astype(*p, float32);
  }
  for (auto& [name, p] : parameters)
    for (array& plane : p.planes()) place_whole(plane);
  for (const auto& j : joined) join(j, device);
  if (options.int8) take_in_int8(parameters, device);
  facts.int8 = options.int8;
  if (options.locked) lock(parameters);
  for (auto& [name, p] : parameters) facts.weights_bytes += p.nbytes();
  const LanguageModel::Costs costs = model->costs(facts.dtype);
  facts.bytes_per_token = costs.bytes_per_token;
  facts.host_bytes_per_token = costs.host_bytes_per_token;
  return model;
}

namespace {

uint64_t splitmix64(uint64_t x) {  // Steele, Lea, Flood 2014: a full-period mixing of a counter
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// Random codes; scales, and biases, with which the values have about the spread of dense ones.
void fill_packed(const nn::Parameter& p, uint64_t seed) {
  constexpr float kMost = 0.0346f;  // of a uniform distribution with a deviation of 0.02
  const Packing packing = p.value().packing();
  const std::span<array> planes = p.planes();
  array& codes = planes[0];
  codes = uninitialized(codes.shape(), codes.dtype());
  const int64_t words = int64_t(codes.nbytes() / 8), chunk = 1 << 17;
  const bool wide = packing_info(packing).wide_scales;
  // Without the bit that would make e4m3 large, or NaN.
  const uint64_t mask =
      planes.size() == 2 && code_bits(packing) == 8 ? 0xbfbfbfbfbfbfbfbfu : ~uint64_t{0};
  std::byte* const out = reinterpret_cast<std::byte*>(codes.node().data());
  std::memset(out + words * 8, 0, codes.nbytes() % 8);
  cpu::parallel_for((words + chunk - 1) / chunk, [&](int64_t c) {
    uint64_t state = splitmix64(seed + uint64_t(c));
    for (int64_t i = c * chunk; i < std::min(words, (c + 1) * chunk); ++i) {
      const uint64_t bits = splitmix64(state++) & mask;
      std::memcpy(out + i * 8, &bits, 8);
    }
  });
  if (planes.size() == 3) {
    planes[1] = full(planes[1].shape(), 2 * kMost / float((1 << code_bits(packing)) - 1),
                     planes[1].dtype());
    planes[2] = full(planes[2].shape(), -kMost, planes[2].dtype());
  } else if (planes.size() == 2 && wide) {
    const float most = to_string(packing).starts_with("int8") ? 127 : 2;
    planes[1] = full(planes[1].shape(), kMost / most, planes[1].dtype());
  } else if (planes.size() == 2) {  // 2^-7, or as near as an e4m3 is
    planes[1] = full(planes[1].shape(), packing == Packing::nvfp4 ? 4 : 120, uint8);
  }
  Arrays rest;
  for (array& plane : planes.subspan(1)) rest.push_back(plane = contiguous(plane));
  eval(rest);
}

}  // namespace

void fill_random(const nn::Parameters& parameters, Dtype dtype, uint64_t seed,
                 const std::function<void(array&)>& made) {
  constexpr int64_t kChunk = 1 << 20;  // elements: one seed each
  constexpr float kSpread = 0.02f;     // initializer_range of Phi and most others
  uint64_t tensor = 0;
  for (auto& [name, p] : parameters) {
    ++tensor;
    if (p.packed()) {
      fill_packed(p, seed * 0x100000001b3u + (tensor << 32));
      for (array& plane : p.planes())
        if (made) made(plane);
      continue;
    }
    array& parameter = *p;
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
