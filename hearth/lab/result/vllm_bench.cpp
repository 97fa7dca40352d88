#include "hearth/lab/result/vllm_bench.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/imports.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

/// The list under the key, which must have `size` entries.
const json& list(const JsonObject& file, const char* key, size_t size) {
  const auto it = file.raw().find(key);
  ensure(it != file.raw().end(), file.where(), ": ", key, " is missing");
  ensure(it->is_array() && it->size() == size, file.where(), ": ", key, ": wanted a list of ", size,
         " entries");
  return *it;
}

double seconds(const JsonObject& file, const json& value, const std::string& what) {
  ensure(value.is_number() && value.get<double>() >= 0, file.where(), ": ", what,
         ": wanted seconds, not below 0, got ", in_quotes(value.dump()));
  return value.get<double>();
}

int length(const JsonObject& file, const json& value, const std::string& what) {
  ensure(value.is_number_unsigned() && value.get<uint64_t>() <= INT32_MAX, file.where(), ": ", what,
         ": wanted a number of tokens, got ", in_quotes(value.dump()));
  return value.get<int>();
}

/// One repetition a request that succeeded. The file has no times of arrival: what came after the
/// first token is a chunk, which can be several tokens.
void add_requests(Result& result, EngineResult& e, const JsonObject& file) {
  const size_t n = file.raw()["ttfts"].size();
  const json &first = list(file, "ttfts", n), &gaps = list(file, "itls", n),
             &in = list(file, "input_lens", n), &out = list(file, "output_lens", n);
  const json none = json::array();
  const json& starts = file.raw().contains("start_times") ? list(file, "start_times", n) : none;
  double begin = INFINITY;
  for (const json& s : starts) begin = std::min(begin, seconds(file, s, "start_times"));
  bool alike = true;
  for (size_t i = 0; i < n; ++i) {
    const auto at = [&](const char* key) { return fmt::format("{}[{}]", key, i); };
    Repetition r;
    r.round = int(i);
    r.streamed = true;
    r.prompt_tokens = length(file, in[i], at("input_lens"));
    r.new_tokens = length(file, out[i], at("output_lens"));
    if (r.new_tokens == 0) continue;  // it failed
    double time = seconds(file, first[i], at("ttfts"));
    r.token_s.push_back(time);
    ensure(gaps[i].is_array(), file.where(), ": ", at("itls"), ": wanted a list");
    for (const json& gap : gaps[i]) r.token_s.push_back(time += seconds(file, gap, at("itls")));
    r.total_s = time;
    if (!starts.empty()) r.start_s = starts[i].get<double>() - begin;
    alike &= e.repetitions.empty() || (r.prompt_tokens == e.repetitions[0].prompt_tokens &&
                                       r.new_tokens == e.repetitions[0].new_tokens);
    e.repetitions.push_back(std::move(r));
  }
  if (starts.empty()) e.notes.push_back("the file has no times at which requests began");
  if (alike && !e.repetitions.empty()) {
    result.jobs[0].prompt_tokens = e.repetitions[0].prompt_tokens;
    result.jobs[0].new_tokens = e.repetitions[0].new_tokens;
  } else {
    e.notes.push_back("requests of different lengths: the job has none");
  }
}

/// The mean of all requests, which must be of one length: from the end to end time, or the time to
/// the first token and that of each other.
void add_mean(Result& result, EngineResult& e, const JsonObject& file, int completed) {
  const int in = file.natural("total_input_tokens"), out = file.positive("total_output_tokens");
  ensure(in % completed == 0 && out % completed == 0, file.where(), ": ", completed,
         " requests of different lengths, without times of each: save them with --save-detailed");
  Published p;
  p.n = completed;
  p.prompt_tokens = result.jobs[0].prompt_tokens = in / completed;
  p.new_tokens = result.jobs[0].new_tokens = out / completed;
  if (file.has("mean_e2el_ms")) {
    p.mean_s = file.positive_number("mean_e2el_ms") / 1e3;
    p.stddev_s = file.number("std_e2el_ms", 0) / 1e3;
  } else {
    p.mean_s =
        (file.positive_number("mean_ttft_ms") +
         (p.new_tokens > 1 ? file.positive_number("mean_tpot_ms") * (p.new_tokens - 1) : 0)) /
        1e3;
  }
  e.published.push_back(p);
}

}  // namespace

Result import_vllm(std::string_view text, std::string_view name) {
  const JsonObject file = JsonObject::parse(text, name);
  Import import("vLLM's benchmark", name);
  Result& result = import.result;
  result.created = file.text("date", "");
  const int completed = file.positive("completed");
  Job job;
  job.model = file.text("model_id", "unknown");
  result.jobs = {job};
  EngineResult e;
  e.name = file.text("backend", file.text("endpoint_type", "vllm"));
  e.program = "vLLM's benchmark of a server";
  e.label = concat(e.name, ":", job.model);
  e.device = "unknown";
  for (const char* key : {"request_rate", "max_concurrency", "burstiness", "num_prompts"})
    if (file.has(key)) {
      const json& value = file.raw()[key];
      e.options[key] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  e.notes = {"requests overlap as request_rate and max_concurrency let them"};
  const auto ttfts = file.raw().find("ttfts");
  if (ttfts != file.raw().end() && ttfts->is_array())
    add_requests(result, e, file);
  else
    add_mean(result, e, file, completed);
  ensure(e.repetitions.empty() || int(e.repetitions.size()) == completed, name, ": completed is ",
         completed, ", but ", e.repetitions.size(), " requests have tokens");
  ensure(!e.repetitions.empty() || !e.published.empty(), name, ": no request has tokens");
  // Its own figures, of all requests together, stand with the first.
  if (!e.repetitions.empty())
    for (const auto& [key, value] : file.raw().items())
      if (value.is_number() && !e.options.contains(key))
        e.repetitions[0].own[key] = value.get<double>();
  result.plan.pairs = completed;
  result.engines.push_back(std::move(e));
  return import.finish();
}

}  // namespace hearth::lab
