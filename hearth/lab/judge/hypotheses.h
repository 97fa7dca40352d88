// Hypotheses: what a change of one thing would do to the time if a cause were the cause. The
// predictions follow from the samples of the unchanged engine alone; what was observed, from
// interventions, and from engines and jobs of the same result that differ in that one thing.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/judge/roofline.h"
#include "hearth/lab/judge/stats.h"

namespace hearth::lab {

/// A cause, and what a change of one thing would do if it were the cause. `observed` comes from an
/// intervention of the result, whose prediction was written down before; or from engines or jobs of
/// it that differ in that alone, which are predicted now, from the unchanged one.
struct Hypothesis {
  std::string engine, cause, intervention;
  std::string prediction;               // in words
  Reading<double> predicted, observed;  // time after over time before
  std::optional<PairedRatio> interval;  // of what was observed, where pairs were measured
  std::string predicted_at;             // a time before the measurement; empty: predicted now
  bool decisive =
      false;            // another cause predicts something else: if it holds, it supports this one
  std::string verdict;  // "held", "failed", "undecided" or "not tested"
};

/// A prediction of a factor holds within this one.
constexpr double kTolerance = 1.15;
/// Time after over time before, and the range in which it holds.
struct Prediction {
  double factor, least, most;
  explicit Prediction(double factor)
      : factor(factor), least(factor / kTolerance), most(factor * kTolerance) {}
  Prediction(double factor, double least, double most) : factor(factor), least(least), most(most) {}
};
/// What `cause` predicts for a change of "threads", "dtype", "batch", "keepalive", "pause" or
/// "compile" of an engine; missing where it says nothing. `bytes`: of a weight, after over before.
Reading<Prediction> predicted(Regime cause, std::string_view change, const std::string& from,
                              const std::string& to, const Reading<double>& bytes,
                              const Busy& busy);
/// Other causes that predict something else than what lies between `least` and `most`.
std::vector<std::string> causes_unlike(double least, double most, std::string_view change,
                                       const std::string& from, const std::string& to,
                                       const Reading<double>& bytes, const Busy& busy);
/// "the same time", "0.5 times the time".
std::string in_words(double factor);

std::vector<Hypothesis> hypotheses_of(const Result& result, const EngineResult& engine, int job,
                                      const Phase& main, const Busy& busy);

}  // namespace hearth::lab
