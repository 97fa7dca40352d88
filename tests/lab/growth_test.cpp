// What is kept of long runs is read, judged and shown in a time that grows with its size alone.
#include <gmock/gmock.h>
#include <time.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/lab/judge/compare.h"
#include "hearth/lab/judge/explain.h"
#include "hearth/lab/result/imports.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/sqlite.h"
#include "hearth/lab/telemetry/samples.h"
#include "tests/lab/results.h"

namespace hearth::lab {
namespace {

double cpu_seconds(const std::function<void()>& f) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  };
  const double begin = now();
  f();
  return now() - begin;
}

/// What is done with 8 times as much takes about 8 times as long, not 64.
void expect_linear(const char* what, const std::function<void(int n)>& f, int n) {
  f(n / 8);  // the first one loads and fills caches
  const double few = cpu_seconds([&] { f(n); }), many = cpu_seconds([&] { f(8 * n); });
  EXPECT_LT(many, 24 * few + 0.05) << what << ": " << few << " s, then " << many << " s";
}

/// Two engines, n repetitions of each, one a round, every fourth streamed, all sampled.
Result long_result(int n) {
  Result r = testing::gpu_result({.active = 0.5, .clock_mhz = 1000, .host_cores = 1});
  for (EngineResult& e : r.engines) {
    const Repetition one = e.repetitions[0];
    const bool slow = &e == &r.engines[0];
    e.repetitions.clear();
    e.telemetry.time_s.clear();
    e.starts.resize(size_t(n / 4 + 1));
    for (int i = 0; i < n; ++i) {
      Repetition rep = one;
      rep.round = rep.start = i / 4;
      rep.start_s = 2.0 * i + slow;
      rep.total_s = (slow ? 0.8 : 0.4) * (1 + 0.001 * (i % 7));
      rep.streamed = i % 4 == 3;
      if (rep.streamed) rep.token_s = {0.1, 0.2, 0.3};
      e.repetitions.push_back(rep);
      e.telemetry.time_s.push_back(rep.start_s + 0.2);
    }
    for (Channel& c : e.telemetry.channels) c.values.assign(size_t(n), c.values.at(0));
  }
  return r;
}

TEST(LabGrowth, ResultsOfManyRepetitions) {
  const auto of = [](auto&& f) {
    return [f](int n) {
      static std::map<int, Result> made;
      const auto [it, fresh] = made.try_emplace(n);
      if (fresh) it->second = long_result(n);
      f(it->second);
    };
  };
  constexpr int kFew = 1000;
  expect_linear(
      "made", [](int n) { long_result(n); }, kFew);
  expect_linear("written and read", of([](const Result& r) { parse_result(to_text(r), "x"); }),
                kFew);
  expect_linear("compared", of([](const Result& r) { compare(r, "torch:cuda", "hearth:cuda", 0); }),
                kFew);
  expect_linear("explained",
                of([](const Result& r) { to_text(explain(r, "torch:cuda", "hearth:cuda"), r); }),
                kFew);
  expect_linear("reported", of([](const Result& r) { report_html(r), report_text(r); }), kFew);
  expect_linear("exported", of([](const Result& r) {
                  const auto tables = tables_of(r);
                  to_sql(tables);
                  markdown(r);
                  for (const Table& t : tables) to_csv(t), to_jsonl(t);
                }),
                kFew);
  expect_linear("samples as JSON", of([](const Result& r) {
                  samples_json(r.engines[0].telemetry);
                  discrepancies(r.engines[0].telemetry);
                }),
                kFew);
}

TEST(LabGrowth, TelemetryOfManyTurns) {
  expect_linear(
      "appended",
      [](int n) {
        Timeline all, turn;
        turn.channels.assign(20, {"a", "W", "x", "", {1.0, 2.0}});
        for (size_t i = 0; i < turn.channels.size(); ++i) turn.channels[i].name = std::to_string(i);
        for (int i = 0; i < n; ++i) {
          turn.time_s = {double(i), i + 0.5};
          append(all, turn);
        }
      },
      1000);
}

TEST(LabGrowth, ImportsOfManyTests) {
  expect_linear(
      "ollama",
      [](int n) {
        std::string text;
        for (int i = 0; i < n; ++i)
          text += "BenchmarkModel/name=m/step=generate 10 1000 ns/token\n";
        import_result(text, "x");
      },
      1000);
  expect_linear(
      "llama-bench",
      [](int n) {
        std::string text;
        for (int i = 0; i < n; ++i)  // each a job and an engine of its own
          text += concat("\n{\"n_prompt\": ", i, ", \"n_gen\": 8, \"n_depth\": ", i,
                         ", \"samples_ns\": [5]}\n");
        import_result(text, "x");
      },
      1000);
}

}  // namespace
}  // namespace hearth::lab
