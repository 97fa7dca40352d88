// What other benchmarks wrote, as results of the lab. Their samples are in sequence, so drift was
// not controlled, and the results say so.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Of llama-bench, ollama, vLLM, hyperfine, Google Benchmark or pytest-benchmark; the text shows
/// which. Throws std::runtime_error, naming file and field (or line).
Result import_result(std::string_view text, std::string_view name);

/// What all readers share: a result that grows, measured elsewhere and in sequence.
class Import {
 public:
  Import(std::string_view what, std::string_view name);
  Result result;

  /// The place of a job of the same kind, model, operation and tokens; added if there is none.
  int job(const Job& job);
  /// The engine of the same label; added if there is none.
  EngineResult& engine(EngineResult engine);
  /// Its repetition after the last one of the same job.
  void add(EngineResult& engine, Repetition repetition);
  /// The result as whoever opens its file will read it. Throws std::runtime_error where that fails.
  Result finish() const;

 private:
  std::string name_;
  std::map<std::tuple<JobKind, std::string, std::string, int, int>, int> jobs_;
  std::map<std::string, size_t> engines_;
  std::map<std::pair<std::string, int>, int> rounds_;  // by engine and job
};

}  // namespace hearth::lab
