#include "hearth/lab/result/ollama_bench.h"

#include <charconv>
#include <cmath>
#include <map>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/result/imports.h"

namespace hearth::lab {
namespace {

constexpr std::string_view kBegin = "BenchmarkModel/name=", kStep = "/step=";

std::vector<std::string_view> split(std::string_view line, std::string_view between) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find(between, at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + between.size();
  }
  return words;
}

struct Line {
  std::string model, step;
  int tokens = 0;
  std::map<std::string, double, std::less<>> values;  // by unit
};

Line parse(std::string_view text, const std::string& where) {
  const auto words = split(text, " ");
  const size_t step = words[0].rfind(kStep);
  ensure(words[0].starts_with(kBegin) && step != text.npos && step > kBegin.size(), where,
         ": wanted BenchmarkModel/name=MODEL/step=STEP, got ", in_quotes(words[0]));
  Line line;
  line.model = words[0].substr(kBegin.size(), step - kBegin.size());
  line.step = words[0].substr(step + kStep.size());
  const auto number = [&](std::string_view word, auto& to) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), to);
    ensure(error == std::errc() && end == word.data() + word.size() && std::isfinite(double(to)) &&
               to >= 0,
           where, ": wanted a number that is not below 0, got ", in_quotes(word));
  };
  ensure(words.size() >= 4 && words.size() % 2 == 0, where,
         ": wanted a count, then values with their units");
  number(words[1], line.tokens);
  for (size_t i = 2; i < words.size(); i += 2)
    number(words[i], line.values[std::string(words[i + 1])]);
  return line;
}

/// "# Model: gemma3 | Params: 4.3B | ..." as facts of the engine.
EngineResult described(std::string_view text) {
  EngineResult e;
  e.name = "ollama";
  e.program = "ollama's benchmark";
  e.bytes_per_weight = Reading<double>::missing("ollama rounds the number of parameters");
  e.notes = {"times per token; the file has no number of tokens"};
  for (std::string_view part : split(text.substr(2), " | ")) {
    const size_t colon = part.find(": ");
    if (colon == part.npos) continue;
    const std::string key(part.substr(0, colon)), value(part.substr(colon + 2));
    if (key == "Model") e.label = "ollama:" + value;
    if (key == "Quant" && value != "unknown") e.dtype = value;
    int64_t bytes = 0;
    if (key == "Size" &&
        std::from_chars(value.data(), value.data() + value.size(), bytes).ec == std::errc())
      e.weights_bytes = bytes;
    if (key != "Model") e.options[key] = value;
  }
  return e;
}

void add(Import& import, const Line& line, double& clock, const std::string& where) {
  EngineResult& e = import.engine(described("# Model: " + line.model));
  const auto value = [&](std::string_view unit) {
    const auto it = line.values.find(unit);
    ensure(it != line.values.end(), where, ": the step ", in_quotes(line.step), " has no ", unit);
    return it->second;
  };
  const bool prefill = line.step == "prefill";
  if (!prefill && line.step != "generate") {
    // Of a whole run: it stands beside what was generated in it.
    const double s =
        (line.values.contains("ns/request") ? value("ns/request") : value("ns/op")) / 1e9;
    if (line.step == "load" && !e.load_s.value) e.load_s = s;
    if (!e.repetitions.empty()) e.repetitions.back().own[line.step + "_s"] = s;
    return;
  }
  const double ns = value("ns/token");
  if (ns == 0) return;  // it counted no token
  if (const auto it = line.values.find("token/sec"); it != line.values.end())
    ensure(std::abs(it->second * ns / 1e9 - 1) < 0.01 || std::abs(it->second - 1e9 / ns) < 0.01,
           where, ": ", ns, " ns/token are not ", it->second, " token/sec");
  Job job;
  job.kind = prefill ? JobKind::prefill : JobKind::generate;
  job.model = line.model;
  (prefill ? job.prompt_tokens : job.new_tokens) = std::max(line.tokens, 1);
  Repetition r;
  r.job = import.job(job);
  r.start_s = clock;
  r.total_s = std::max(line.tokens, 1) * ns / 1e9;
  r.prompt_tokens = job.prompt_tokens;
  r.new_tokens = job.new_tokens;
  clock += r.total_s;
  import.add(e, std::move(r));
}

}  // namespace

Result import_ollama(std::string_view text, std::string_view name) {
  Import import("ollama's benchmark", name);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  double clock = 0;
  int number = 0;
  for (size_t at = 0; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string where = concat(name, ":", number + 1);
    if (line.starts_with("# Model: "))
      import.engine(described(line));
    else if (line.starts_with("cpu: "))
      import.result.environment.push_back({"processor", std::string(line.substr(5))});
    else if (line.starts_with("Benchmark"))
      add(import, parse(line, where), clock, where);
  }
  auto& engines = import.result.engines;
  std::erase_if(engines, [](const EngineResult& e) { return e.repetitions.empty(); });
  ensure(
      !engines.empty(), name,
      ": no times of a benchmark that is known: llama-bench, ollama's, vLLM's, hyperfine, Google "
      "Benchmark, pytest-benchmark");
  return import.finish();
}

}  // namespace hearth::lab
