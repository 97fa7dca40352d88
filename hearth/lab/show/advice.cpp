#include "hearth/lab/show/advice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/run/engine_spec.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

// One word of a shell. A terminal shows it: what it would obey is not there.
std::string shell_word(std::string_view word) {
  const std::string text = one_line(word);
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,@+%";
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// How the user named an engine, with another dtype if one is given; nothing if it names none.
std::optional<std::string> spec_of(const EngineResult& engine, const std::string& dtype) {
  try {
    EngineSpec spec = parse_engine(spec_of_label(engine.label));
    if (spec.name != engine.name) return std::nullopt;
    if (spec.name == "server" || dtype.empty()) return spec.text;
    spec.options["dtype"] = dtype;
    std::string text = spec.name;
    if (!spec.program.empty()) text += "@" + spec.program;
    text += ":" + (spec.device.empty() ? engine.device : spec.device);
    char between = ':';
    for (const auto& [key, value] : spec.options) {
      text += concat(between, key, "=", value);
      between = ',';
    }
    return text;
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

std::string of_job(const Job& job) {
  std::string text;
  if (job.kind == JobKind::op)
    return fmt::format(
        " --job op --op {}{}{}", shell_word(job.op),
        job.shape.empty() ? "" : fmt::format(" --shape {}", fmt::join(job.shape, "x")),
        job.dtype.empty() ? "" : " --op-dtype " + shell_word(job.dtype));
  if (job.kind != JobKind::generate) text += concat(" --job ", to_string(job.kind));
  if (!job.model.empty()) text += " --model " + shell_word(job.model);
  if (job.random_weights) text += " --random-weights";
  if (!job.prompt.empty())
    text += " --prompt " + shell_word(job.prompt);
  else if (job.prompt_tokens > 0)
    text += fmt::format(" -p {}", job.prompt_tokens);
  if (job.kind != JobKind::prefill && job.new_tokens > 0)
    text += fmt::format(" -n {}", job.new_tokens);
  if (job.batch > 1) text += fmt::format(" -b {}", job.batch);
  return text;
}

}  // namespace

std::string run_command(const Result& result, int job, const std::string& a, const std::string& b) {
  const EngineResult *x = result.engine(a), *y = result.engine(b);
  if (!x || !y) return "";
  const Job& what = result.jobs[size_t(job)];
  if (what.kind == JobKind::command) {
    if (x->name == "benchmark" || y->name == "benchmark") return "";
    const auto words = [](const EngineResult& e) {
      return shell_word(e.program.empty() ? e.label : e.program);
    };
    const bool lost = !lost_in_shell(*x, job).empty() || !lost_in_shell(*y, job).empty();
    return fmt::format("hearth lab run{} --command {} --command {}", lost ? " -N" : "", words(*x),
                       words(*y));
  }
  // One dtype for both, where theirs differ: that of the engine whose weights are smaller.
  std::string dtype;
  if (of_a_model(what.kind) && x->dtype != y->dtype)
    dtype = x->dtype == "f32" || x->dtype.empty() ? y->dtype : x->dtype;
  const auto p = spec_of(*x, dtype), q = spec_of(*y, dtype);
  if (!p || !q) return "";
  const int starts = std::max({12, result.plan.pairs, result.plan.starts});
  return fmt::format("hearth lab run{} --engines {} --pairs {}", of_job(what),
                     shell_word(*p + "," + *q), starts);
}

Advice advice_of(const Result& result, const Explanation& e, Finding finding) {
  std::string words;
  switch (finding) {
    case Finding::not_comparable: words = "Give both the same work"; break;
    case Finding::no_pairs:
    case Finding::no_turns: words = "Measure both in turns"; break;
    case Finding::busy: words = "Measure again when nothing else runs"; break;
    case Finding::few_starts: words = "Measure with more starts"; break;
    default: words = "Measure more pairs, on a quiet machine"; break;
  }
  std::string command = run_command(result, e.job, e.a.label, e.b.label);
  if (command.empty() && result.jobs[size_t(e.job)].kind == JobKind::command)
    words += ", each as a program of its own: `hearth lab run --command 'A' --command 'B'`";
  else if (command.empty())
    words += ": `hearth lab run` with one model, one dtype and as many tokens for both";
  else
    words += ":";
  if (words.back() != ':') words += ".";
  return {words, command};
}

}  // namespace hearth::lab
