// hearth lab engine: hearth as an engine of the lab. It speaks the protocol of docs/engines.md.
#include <fmt/format.h>

#include <cmath>
#include <deque>
#include <iostream>
#include <nlohmann/json.hpp>

#include "hearth/backend/pool.h"
#include "hearth/base/system.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/io/json.h"
#include "hearth/lab/measure/launch.h"
#include "hearth/llm/decoder.h"
#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::cli {

using nlohmann::json;

namespace {

using Emit = std::function<void(const std::vector<int>& ids)>;

/// What the lab asks of every engine of operations: -0.5 to 0.5, the same everywhere.
array operand(const Shape& shape, uint32_t seed, Dtype dtype) {
  array values = uninitialized(shape, float32);
  auto* to = static_cast<float*>(static_cast<void*>(values.node().data()));
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t x = (seed + uint32_t(i)) * 2654435761u;
    x ^= x >> 15;
    to[i] = float(double(x) / 4294967296.0 - 0.5);
  }
  return astype(values, dtype);
}

struct Operation {
  Arrays in;
  std::function<array(const Arrays&)> run;
};

Operation operation(const std::string& name, Dtype dtype, const std::vector<int>& s) {
  const auto sizes = [&](size_t n) {
    ensure(s.size() == n, name, " takes ", n, " sizes, got ", s.size());
    for (int size : s) ensure(size > 0, name, ": a size of ", size);
  };
  const auto one = [&](size_t n, std::function<array(const array&)> f) {
    sizes(n);
    return Operation{{operand(Shape(s.begin(), s.end()), 0, dtype)},
                     [f](const Arrays& in) { return f(in[0]); }};
  };
  if (name == "matmul") {
    sizes(3);
    return {{operand({s[0], s[1]}, 0, dtype), operand({s[1], s[2]}, 1, dtype)},
            [](const Arrays& in) { return matmul(in[0], in[1]); }};
  }
  if (name == "matvec") {
    sizes(2);
    return {{operand({s[0], s[1]}, 0, dtype), operand({s[1]}, 1, dtype)},
            [](const Arrays& in) { return matmul(in[0], in[1]); }};
  }
  if (name == "conv2d") {
    sizes(6);  // rows, height, width, channels, channels out, kernel
    return {
        {operand({s[0], s[1], s[2], s[3]}, 0, dtype), operand({s[4], s[5], s[5], s[3]}, 1, dtype)},
        [](const Arrays& in) { return conv2d(in[0], in[1]); }};
  }
  if (name == "softmax") return one(2, [](const array& x) { return softmax(x, -1); });
  if (name == "layer_norm")
    return one(2, [](const array& x) { return fast::layer_norm(x, {}, {}, 1e-5f); });
  if (name == "gelu") return one(1, [](const array& x) { return gelu_approx(x); });
  if (name == "sum") return one(1, [](const array& x) { return sum(x); });
  if (name == "sort") return one(1, [](const array& x) { return sort(x); });
  ensure(false, "hearth has no operation ", name, " yet");
  return {};
}

json median_of(std::vector<double> samples, const char* reason) {
  if (samples.empty()) return {{"value", nullptr}, {"reason", reason}};
  return {{"value", lab::summarize(std::move(samples)).median}};
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
    const auto start = lab::Clock::now();
    product.eval();
    const std::chrono::duration<double> took = lab::Clock::now() - start;
    if (round >= 2) samples.push_back(2e-9 * n * n * n / took.count());  // the first ones warm up
  }
  return samples;
}

class HearthEngine {
 public:
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
    const auto n = parse_number<int>(text);
    const int most = usable_processors();
    ensure(n && *n >= 1 && *n <= most, "threads: '", text, "', wanted 1 to ", most,
           ", the processors that there are to use");
    return *n;
  }

  json hello(const json& device, const json& options) {
    for (const auto& [key, value] : options.items()) {
      if (key == "threads")
        cpu::set_threads(threads(value));
      else if (key == "dtype")
        options_.dtype = llm::parse_dtype(value.get<std::string>());
      else
        ensure(false, "no option ", key, "; there are dtype, threads");
    }
    if (device.is_string()) set_default_device(parse_device(device.get<std::string>()));
    json devices = json::array();
    for (const auto type : {Device::cpu, Device::cuda})
      for (int i = 0; i < device_count(type); ++i) devices.push_back(to_string(Device(type, i)));
    return {{"name", "hearth"},
            {"version", kVersion},
            {"commit", *kCommit ? json(kCommit) : json()},
            {"device", to_string(default_device())},
            {"devices", devices},
            {"counts_launches", true},
            {"tells_logits", true}};
  }

  json load(const std::string& folder) {
    model_ = llm::load_model(folder, options_);
    size_t parameters = 0;
    for (const auto& [name, p] : model_->parameters()) parameters += p->size();
    return {{"dtype", to_string(model_->facts.dtype)},
            {"weights_bytes", model_->facts.weights_bytes},
            {"parameters", parameters},
            {"threads", cpu::threads()},
            {"sampling", "greedy"},
            {"takes_ids", true},
            {"notes", {"weights mapped from their file are not among its tensors' bytes"}}};
  }

  json generate(const std::vector<std::vector<int>>& prompts, int new_tokens, const Emit& emit) {
    ensure(model_ != nullptr, "no model is loaded");
    if (prompts.size() == 1) {
      llm::GenerateOptions options;
      options.max_tokens = new_tokens;
      const auto out = llm::generate(*model_, prompts[0], options, [&](int id, std::string_view) {
        if (emit) emit({id});
        return true;
      });
      return {{"ids", {out.ids}},
              {"prompt_tokens", out.prompt_tokens},
              {"own",
               {{"prefill_s", out.prefill_s},
                {"time_to_first_token_s", out.time_to_first_token_s},
                {"decode_s", out.decode_s}}}};
    }
    return generate_rows(prompts, new_tokens, emit);
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

  /// Rows of one length, together.
  json generate_rows(const std::vector<std::vector<int>>& prompts, int new_tokens,
                     const Emit& emit) {
    const int rows = int(prompts.size()), length = int(prompts.at(0).size());
    ensure(length > 0 && length + new_tokens - 1 <= model_->facts.context_length, length,
           " tokens and ", new_tokens, " new ones do not fit in the context");
    std::vector<int> flat;
    for (const auto& row : prompts) {
      ensure(int(row.size()) == length, "prompts of different lengths");
      flat.insert(flat.end(), row.begin(), row.end());
    }
    auto cache = model_->make_cache(rows);
    llm::Sampler sampler({}, model_->facts.vocab_size, prompts);
    const array tokens(flat.begin(), Shape{rows, length}, int32);
    const array logits = model_->forward({tokens, {}, true}, cache);  // (rows, 1, vocab)
    const array first = sampler(reshape(logits, {rows, logits.shape(2)}));
    llm::Decoder steps(*model_, cache, sampler, first);
    std::vector<std::vector<int>> ids{size_t(rows)};
    const auto take = [&](const array& step) {
      const auto column = step.to_vector<int>();
      for (int b = 0; b < rows; ++b) {
        auto& row = ids[size_t(b)];
        if (column[size_t(b)] < 0) {
          std::vector<int> before = prompts[size_t(b)];
          before.insert(before.end(), row.begin(), row.end());
          llm::fail_not_finite(*model_, before, "generate");
        }
        row.push_back(column[size_t(b)]);
      }
      if (emit) emit(column);
    };
    // A device decodes a step ahead of what the host has read.
    const size_t lead = default_device() == Device(Device::cpu) ? 0 : 2;
    std::deque<array> ahead{first};
    for (int started = 1; !ahead.empty();) {
      while (ahead.size() <= lead && started < new_tokens) ahead.push_back(steps.step()), ++started;
      take(ahead.front());
      ahead.pop_front();
      if (ahead.empty() && started < new_tokens) ahead.push_back(steps.step()), ++started;
    }
    return {{"ids", ids}, {"prompt_tokens", length}};
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
      add(concat("flops_", to_string(dtype)), "GFLOP/s", median_of(product_gflop_s(dtype), ""));
    const auto measured = [&](const char* name, const char* unit, const auto& samples) {
      add(name, unit,
          samples.value ? json{{"value", samples.value->median}}
                        : json{{"value", nullptr}, {"reason", samples.reason}});
    };
    measured("clock", "MHz", lab::measure_clock_mhz(device));
    const lab::Launch launch = lab::measure_launch(device);
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

  llm::LoadOptions options_;
  std::unique_ptr<llm::LanguageModel> model_;
  std::string prepared_;
  Operation operation_;
  std::optional<array> result_;
};

void serve() {
  HearthEngine engine;
  const auto send = [](const json& line) {
    print_out(line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  };
  for (std::string line; std::getline(std::cin, line);) {
    const json request = parse_json(line, "standard input");
    if (request.at("do") == "bye") return;
    json reply = {{"id", request.at("id")}};
    try {
      reply["done"] = engine.answer(request, send);
    } catch (const std::exception& error) {
      reply["error"] = error.what();
    }
    send(reply);
  }
}

}  // namespace

void add_lab_engine(CLI::App& lab) {
  lab.add_subcommand("engine", "Be an engine of the lab: its protocol on standard input and output")
      ->group("")
      ->callback(serve);
}

}  // namespace hearth::cli
