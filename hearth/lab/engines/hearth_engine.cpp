#include "hearth/lab/engines/hearth_engine.h"

#include <charconv>
#include <chrono>
#include <climits>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "hearth/backend/pool.h"
#include "hearth/base/system.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/io/json.h"
#include "hearth/lab/engines/operations.h"
#include "hearth/lab/measure/launch.h"
#include "hearth/llm/batcher.h"
#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::lab {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

using Emit = std::function<void(const std::vector<int>& ids)>;

json median_of(std::vector<double> samples, const char* reason) {
  if (samples.empty()) return {{"value", nullptr}, {"reason", reason}};
  return {{"value", summarize(std::move(samples)).median}};
}

/// GFLOP/s of a product of two square matrices on the default device.
std::vector<double> product_gflop_s(Dtype dtype) {
  // On a GPU large enough that starting the kernel and waiting for it is 1 or 2 % of the time.
  const int n = default_device() == Device(Device::cpu) ? 512 : 8192;
  const array a = astype(random::uniform({n, n}, float32), dtype);
  const array b = astype(random::uniform({n, n}, float32), dtype);
  eval(Arrays{a, b});
  std::vector<double> samples;
  for (int round = 0; round < 7; ++round) {
    const array product = matmul(a, b);
    const auto start = Clock::now();
    product.eval();
    const std::chrono::duration<double> took = Clock::now() - start;
    if (round >= 2) samples.push_back(2e-9 * n * n * n / took.count());  // the first ones warm up
  }
  return samples;
}

}  // namespace

struct HearthEngine::State {
  State(std::string version, std::string commit)
      : version_(std::move(version)), commit_(std::move(commit)) {}

  json answer(const json& request, const std::function<void(const json&)>& send) {
    const std::string what = request.at("do");
    if (what == "hello") return hello(request.at("device"), request.at("options"));
    if (what == "load") return load(request.at("model"));
    if (what == "run" && request.at("kind") == "op") return run_op(request);
    if (what == "run") {
      Emit emit;
      if (request.at("stream"))
        emit = [&](const std::vector<int>& ids) {
          send({{"id", request.at("id")}, {"token", ids}});
        };
      return generate(request.at("prompts"), request.at("new_tokens"), emit);
    }
    if (what == "check") {
      ensure(result_.has_value(), "nothing was computed yet");
      const auto checksum = mean(abs(astype(*result_, float32))).item<double>();
      ensure(std::isfinite(checksum), "the result is not finite");
      return {{"checksum", checksum}};
    }
    if (what == "launches") return launches(request.at("prompts"));
    if (what == "logits") return logits(request.at("prompt"), request.at("tokens"));
    if (what == "memory") return memory();
    if (what == "limits") return limits();
    if (what == "clear_cache") return clear_cache(), json::object();
    ensure(false, "there is no request ", what);
    return {};
  }

 private:
  static int threads(const std::string& text) {
    int n = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), n).ptr;
    const int most = usable_processors();
    ensure(end == text.data() + text.size() && n >= 1 && n <= most, "threads: '", text,
           "', wanted 1 to ", most, ", the processors that there are to use");
    return n;
  }

  /// Throws unless all of the text is a number from `least` on.
  static int number(const std::string& key, const std::string& text, int least) {
    int n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    ensure(error == std::errc() && end == text.data() + text.size() && n >= least, key, ": '", text,
           "' is no number from ", least, " on");
    return n;
  }

  static Packing state(const std::string& text) {
    const auto packing = state_packing(text);
    ensure(packing.has_value(), "kv: '", text, "' is not q8 or q4");
    return *packing;
  }

  json hello(const json& device, const json& options) {
    for (const auto& [key, value] : options.items()) {
      if (key == "threads")
        cpu::set_threads(threads(value));
      else if (key == "dtype")
        options_.dtype = llm::parse_dtype(value.get<std::string>());
      else if (key == "kv")
        options_.state = state(value.get<std::string>());
      else if (key == "activations")
        ensure(value == "int8", "activations: ", value.dump(), " is not int8"),
            options_.int8 = true;
      else if (key == "gpu_layers")
        options_.device_layers = number(key, value, 0);
      else if (key == "n_cpu_moe")
        options_.host_experts = number(key, value, 0);
      else
        ensure(false, "no option ", key,
               "; there are activations, dtype, gpu_layers, kv, n_cpu_moe, threads");
    }
    if (device.is_string()) set_default_device(parse_device(device.get<std::string>()));
    json devices = json::array();
    for (const auto type : {Device::cpu, Device::cuda})
      for (int i = 0; i < device_count(type); ++i) devices.push_back(to_string(Device(type, i)));
    return {{"name", "hearth"},
            {"version", version_},
            {"commit", commit_.empty() ? json() : json(commit_)},
            {"device", to_string(default_device())},
            {"devices", devices},
            {"counts_launches", true},
            {"tells_logits", true}};
  }

  json load(const std::string& folder) {
    model_ = llm::load_model(folder, options_);
    size_t parameters = 0;
    for (const auto& [name, p] : model_->parameters()) parameters += p.size();
    return {{"dtype", short_name(model_->facts.dtype)},
            {"activations", model_->facts.activations()},
            {"weights_bytes", model_->facts.weights_bytes},
            {"parameters", parameters},
            {"threads", cpu::threads()},
            {"sampling", "greedy"},
            {"takes_ids", true},
            {"notes", {"weights mapped from their file are not among its tensors' bytes"}}};
  }

  json generate(const std::vector<std::vector<int>>& prompts, int new_tokens, const Emit& emit) {
    ensure(model_ != nullptr, "no model is loaded");
    ensure(!prompts.empty() && !prompts[0].empty(), "there is no prompt");
    const int length = int(prompts[0].size());
    ensure(length + new_tokens - 1 <= model_->facts.context_length, length, " tokens and ",
           new_tokens, " new ones do not fit in the model's context of ",
           model_->facts.context_length);
    const int rows = int(prompts.size());
    // All prompts are read first, so that rows go on in step.
    llm::Batcher batcher(*model_, {.most_rows = rows, .chunks_per_step = INT_MAX});
    std::vector<std::vector<int>> ids{prompts.size()};
    std::vector<int> step(prompts.size());  // a token of each row; groups of rows come in any order
    int arrived = 0;
    const auto start = Clock::now();
    auto first = start, last = start;
    for (int row = 0; row < rows; ++row) {
      ensure(int(prompts[size_t(row)].size()) == length, "rows of ", length, " and ",
             prompts[size_t(row)].size(), " tokens; wanted one length");
      batcher.add({.prompt = prompts[size_t(row)],
                   .max_tokens = new_tokens,
                   .until = [&, row](const llm::NewToken& token) {
                     ids[size_t(row)].push_back(token.id);
                     step[size_t(row)] = token.id;
                     if (++arrived % rows != 0) return false;
                     last = Clock::now();
                     if (ids[0].size() == 1) first = last;
                     if (emit) emit(step);
                     return false;
                   }});
    }
    double prefill_s = 0;
    for (bool begun = false; !batcher.idle(); begun = true) {
      for (const auto& event : batcher.step()) {
        if (event.error) std::rethrow_exception(event.error);
        prefill_s += event.prefill_s;
      }
      ensure(begun || batcher.waiting() == 0, "memory has room for the state of ",
             prompts.size() - batcher.waiting(), " of ", rows, " rows");
    }
    const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
    return {{"ids", ids},
            {"prompt_tokens", length},
            {"own",
             {{"prefill_s", prefill_s},
              {"time_to_first_token_s", seconds(first - start)},
              {"decode_s", seconds(last - first)}}}};
  }

  /// Of a decoding step, in the steady state: by the scheduler's counter. The first step is run as
  /// usual, the second is recorded, which schedules it once more, and from then on it is replayed.
  json launches(const json& prompts) {
    if (default_device() != Device(Device::cpu))
      return {{"launches", nullptr},
              {"reason", "the kernels of a recorded step are merged on the device, uncounted"}};
    const auto kernels = [&](int tokens) {
      const uint64_t before = eval_counters().kernels;
      generate(prompts, tokens, {});
      return int64_t(eval_counters().kernels - before);
    };
    const int64_t two = kernels(2), three = kernels(3), four = kernels(4);
    const int64_t each = four - three;  // what a replayed step still schedules
    return {{"launches", each}, {"replayed", three - two - each}};
  }

  json logits(const std::vector<int>& prompt, const std::vector<int>& ids) {
    ensure(model_ != nullptr, "no model is loaded");
    auto cache = model_->make_cache(1);
    const array text(prompt.begin(), Shape{1, int(prompt.size())}, int32);
    const array last = reshape(model_->forward({text, {}, true}, cache), {-1});
    llm::check_finite(*model_, last, prompt, "logits");
    const auto all = astype(last, float32).to_vector<float>();
    json of_ids = json::array();
    for (const int id : ids) of_ids.push_back(all.at(size_t(id)));
    return {{"logits", of_ids}};
  }

  json run_op(const json& request) {
    const std::string key =
        request.at("op").dump() + request.at("dtype").dump() + request.at("shape").dump();
    if (key != prepared_) {
      operation_ =
          operation(request.at("op"), llm::parse_dtype(request.at("dtype").get<std::string>()),
                    request.at("shape"));
      eval(operation_.in);
      prepared_ = key;
    }
    for (int i = 0; i < request.at("calls"); ++i) {
      result_ = operation_.run(operation_.in);
      result_->eval();
    }
    return json::object();
  }

  static json limits() {
    const Device device = default_device();
    const array small = zeros({1}, float32);
    json all = json::array();
    const auto add = [&](std::string name, const char* unit, json value) {
      value["name"] = std::move(name), value["unit"] = unit;
      all.push_back(std::move(value));
    };
    add("read_bandwidth", "GB/s",
        median_of(backend(device.type)->read_gb_per_s({&small, 1}), "its backend measures none"));
    for (const Dtype dtype : {float32, float16, bfloat16})
      add(concat("flops_", short_name(dtype)), "GFLOP/s", median_of(product_gflop_s(dtype), ""));
    const auto measured = [&](const char* name, const char* unit, const auto& samples) {
      add(name, unit,
          samples.value ? json{{"value", samples.value->median}}
                        : json{{"value", nullptr}, {"reason", samples.reason}});
    };
    measured("clock", "MHz", measure_clock_mhz(device));
    const Launch launch = measure_launch(device);
    measured("launch", "us", launch.evaluated_us);
    measured("launch_replayed", "us", launch.replayed_us);
    return {{"limits", all}};
  }

  static json memory() {
    const Device device = default_device();
    if (device == Device(Device::cpu))
      return {{"tensors_bytes", get_active_memory()},
              {"tensors_peak_bytes", get_peak_memory()},
              {"driver_bytes", get_active_memory() + get_cache_memory()}};
    const DeviceMemory m = backend(device.type)->memory(device.index);
    return {{"tensors_bytes", m.active},
            {"tensors_peak_bytes", m.peak},
            {"driver_bytes", m.active + m.cached},
            {"device_used_bytes", m.total - m.free}};
  }

  const std::string version_, commit_;
  llm::LoadOptions options_;
  std::unique_ptr<llm::LanguageModel> model_;
  std::string prepared_;
  Operation operation_;
  std::optional<array> result_;
};

HearthEngine::HearthEngine(std::string version, std::string commit)
    : state_(std::make_unique<State>(std::move(version), std::move(commit))) {}
HearthEngine::~HearthEngine() = default;

bool HearthEngine::answer(std::string_view line, const Send& send) {
  const json request = parse_json(line, "standard input");
  if (request.at("do") == "bye") return false;
  const auto send_json = [&](const json& one) {
    send(one.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  };
  json reply = {{"id", request.at("id")}};
  try {
    reply["done"] = state_->answer(request, send_json);
  } catch (const std::exception& error) {
    reply["error"] = error.what();
  }
  send_json(reply);
  return true;
}

}  // namespace hearth::lab
