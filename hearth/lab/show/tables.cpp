#include "hearth/lab/show/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/lab/judge/stats.h"
#include "hearth/lab/judge/times.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/plain.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

template <class T>
Cell cell(const Reading<T>& reading) {
  if (!reading.value) return {};
  if constexpr (std::is_same_v<T, std::string>)
    return *reading.value;
  else if constexpr (std::is_floating_point_v<T>)
    return double(*reading.value);
  else
    return int64_t(*reading.value);
}
Cell cell(const std::optional<double>& value) { return value ? Cell(*value) : Cell(); }
Cell cell(std::string_view text) { return std::string(text); }
Cell cell(size_t n) { return int64_t(n); }
Cell cell(int n) { return int64_t(n); }
Cell cell(bool b) { return int64_t(b); }
Cell cell(double x) { return x; }

/// One list as a text: "a; b".
template <class T>
std::string joined(const std::vector<T>& list, std::string_view between) {
  std::string all;
  for (const T& item : list) all += fmt::format("{}{}", all.empty() ? "" : between, item);
  return all;
}

/// The engines, and those of the interventions under names of their own.
std::vector<EngineResult> all_engines(const Result& r) {
  std::vector<EngineResult> all = r.engines;
  for (size_t i = 0; i < r.interventions.size(); ++i)
    for (EngineResult e : r.interventions[i].executions) {
      e.label = fmt::format("intervention {}: {}", i, e.label);
      all.push_back(std::move(e));
    }
  return all;
}

Table interventions_of(const Result& r) {
  Table t{"interventions",
          {"intervention", "engine", "job", "cause", "change", "changed_from", "changed_to",
           "prediction", "predicted", "least", "most", "refuted_by", "unlike", "predicted_at",
           "measured_at", "fault"},
          {}};
  for (size_t n = 0; n < r.interventions.size(); ++n) {
    const Intervention& i = r.interventions[n];
    t.rows.push_back({cell(n), cell(i.engine), cell(i.job + 1), cell(i.cause), cell(i.change),
                      cell(i.from), cell(joined(i.to, "; ")), cell(i.prediction), cell(i.predicted),
                      cell(i.least), cell(i.most), cell(i.refuted_by), cell(joined(i.unlike, "; ")),
                      cell(i.predicted_at), cell(i.measured_at), cell(i.fault)});
  }
  return t;
}

Table engines_of(const std::vector<EngineResult>& engines) {
  Table t{"engines",
          {"engine",           "name",          "program", "device",   "version",
           "commit",           "status",        "faults",  "notes",    "dtype",
           "bytes_per_weight", "weights_bytes", "threads", "sampling", "launches",
           "replayed",         "start_s",       "load_s",  "first_s",  "sampler_cpu_s"},
          {}};
  for (const EngineResult& e : engines)
    t.rows.push_back({cell(e.label),
                      cell(e.name),
                      cell(e.program),
                      cell(e.device),
                      cell(e.version),
                      cell(e.commit),
                      cell(to_string(e.status)),
                      cell(joined(e.faults, "; ")),
                      cell(joined(e.notes, "; ")),
                      cell(e.dtype),
                      cell(e.bytes_per_weight),
                      cell(e.weights_bytes),
                      cell(e.threads),
                      cell(to_string(e.sampling)),
                      cell(e.launches),
                      cell(e.replayed),
                      cell(e.start_s),
                      cell(e.load_s),
                      cell(e.first_s),
                      cell(e.telemetry.sampler_cpu_s)});
  return t;
}

Table jobs_of(const Result& r) {
  Table t{"jobs",
          {"job", "kind", "model", "random_weights", "prompt", "prompt_tokens", "new_tokens",
           "batch", "op", "dtype", "shape", "prompt_ids"},
          {}};
  for (size_t i = 0; i < r.jobs.size(); ++i) {
    const Job& j = r.jobs[i];
    t.rows.push_back({cell(i + 1), cell(to_string(j.kind)), cell(j.model), cell(j.random_weights),
                      cell(j.prompt), cell(j.prompt_tokens), cell(j.new_tokens), cell(j.batch),
                      cell(j.op), cell(j.dtype), cell(joined(j.shape, "x")),
                      cell(joined(j.prompt_ids, " "))});
  }
  return t;
}

Table memory_of(const std::vector<EngineResult>& engines) {
  Table t{"memory", {"engine", "moment", "gauge", "bytes", "reason"}, {}};
  for (const EngineResult& e : engines)
    for (const Memory& m : e.memory)
      m.fields([&](const char* name, const auto& gauge) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(gauge)>, std::string>)
          t.rows.push_back({cell(e.label), cell(m.moment), cell(std::string_view(name)),
                            cell(gauge), gauge.value ? Cell() : cell(gauge.reason)});
      });
  return t;
}

Table margins_of(const std::vector<EngineResult>& engines) {
  Table t{"margins", {"engine", "other", "job", "row", "token", "logits", "reason"}, {}};
  for (const EngineResult& e : engines)
    for (const Margin& m : e.margins)
      t.rows.push_back({cell(e.label), cell(m.other), cell(m.job + 1), cell(m.row), cell(m.index),
                        cell(m.logits), m.logits.value ? Cell() : cell(m.logits.reason)});
  return t;
}

Table telemetry_of(const std::vector<EngineResult>& engines) {
  Table t{"telemetry", {"engine", "time_s", "name", "unit", "source", "value", "reason"}, {}};
  for (const EngineResult& e : engines)
    for (const Channel& c : e.telemetry.channels)
      for (size_t i = 0; i < c.values.size(); ++i)
        t.rows.push_back({cell(e.label), cell(e.telemetry.time_s[i]), cell(c.name), cell(c.unit),
                          cell(c.source), cell(c.values[i]),
                          c.values[i] ? Cell() : cell(c.reason)});
  return t;
}

}  // namespace

std::vector<Table> tables_of(const Result& r) {
  const std::vector<EngineResult> engines = all_engines(r);
  Table environment{"environment", {"name", "value", "reason"}, {}};
  for (const Fact& f : r.environment)
    environment.rows.push_back(
        {cell(f.name), cell(f.value), f.value.value ? Cell() : cell(f.value.reason)});
  Table ceilings{"ceilings", {"name", "device", "unit", "source", "value", "reason", "others"}, {}};
  for (const Ceiling& c : r.ceilings)
    ceilings.rows.push_back({cell(c.name), cell(c.device), cell(c.unit), cell(c.source),
                             cell(c.value), c.value.value ? Cell() : cell(c.value.reason),
                             cell(c.others)});
  Table repetitions{
      "repetitions",
      {"engine",      "repetition", "job",        "round",    "start",    "warmup",
       "settling",    "streamed",   "start_s",    "total_s",  "calls",    "prompt_tokens",
       "new_tokens",  "own",        "processors", "others_s", "stolen_s", "waited_s",
       "throttled_s", "pressure_s", "switches",   "clock_mhz"},
      {}};
  Table tokens{"tokens", {"engine", "repetition", "row", "token", "id", "time_s"}, {}};
  Table published{
      "published", {"engine", "job", "mean_s", "stddev_s", "n", "prompt_tokens", "new_tokens"}, {}};
  for (const EngineResult& e : engines) {
    for (size_t i = 0; i < e.repetitions.size(); ++i) {
      const Repetition& x = e.repetitions[i];
      repetitions.rows.push_back({cell(e.label), cell(i), cell(x.job + 1), cell(x.round),
                                  cell(x.start), cell(x.warmup), cell(x.settling), cell(x.streamed),
                                  cell(x.start_s), cell(x.total_s), cell(x.calls),
                                  cell(x.prompt_tokens), cell(x.new_tokens),
                                  x.own.empty() ? Cell() : cell(json(x.own).dump())});
      (x.disturbance ? *x.disturbance : Disturbance{}).fields([&](const char*, const auto& field) {
        if constexpr (std::is_same_v<std::decay_t<decltype(field)>, int>)
          repetitions.rows.back().push_back(x.disturbance ? cell(field) : Cell());
        else
          repetitions.rows.back().push_back(field ? cell(*field) : Cell());
      });
      const size_t rows = std::max<size_t>(x.ids.size(), x.token_s.empty() ? 0 : 1);
      for (size_t row = 0; row < rows; ++row) {
        const size_t ids = row < x.ids.size() ? x.ids[row].size() : 0;
        for (size_t k = 0; k < std::max(ids, x.token_s.size()); ++k)
          tokens.rows.push_back({cell(e.label), cell(i), cell(row), cell(k),
                                 k < ids ? cell(x.ids[row][k]) : Cell(),
                                 k < x.token_s.size() ? cell(x.token_s[k]) : Cell()});
      }
    }
    for (const Published& p : e.published)
      published.rows.push_back({cell(e.label), cell(p.job + 1), cell(p.mean_s), cell(p.stddev_s),
                                cell(p.n), cell(p.prompt_tokens), cell(p.new_tokens)});
  }
  return {environment,         ceilings,
          jobs_of(r),          engines_of(engines),
          repetitions,         tokens,
          published,           memory_of(engines),
          margins_of(engines), telemetry_of(engines),
          interventions_of(r)};
}

std::string to_csv(const Table& table) {
  const auto quoted = [](std::string_view given) {
    const auto picked = [](int32_t code) { return code != '\r' && is_control(code); };
    std::string text = with_replaced(given, picked, [](int32_t) { return " "; });
    if (text.find_first_of(",\"\r\n") == text.npos) return text;
    std::string out = "\"";
    for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  };
  std::string out;
  for (const std::string& column : table.columns) out += concat(out.empty() ? "" : ",", column);
  out += "\r\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) out += ',';
      if (const auto* n = std::get_if<int64_t>(&row[i])) out += fmt::format("{}", *n);
      if (const auto* x = std::get_if<double>(&row[i])) out += fmt::format("{}", *x);
      if (const auto* s = std::get_if<std::string>(&row[i])) out += quoted(*s);
    }
    out += "\r\n";
  }
  return out;
}

std::string to_jsonl(const Table& table) {
  std::string out;
  for (const auto& row : table.rows) {
    json line = {{"table", table.name}};
    for (size_t i = 0; i < row.size(); ++i)
      std::visit(
          [&](const auto& value) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::monostate>)
              line[table.columns[i]] = nullptr;
            else
              line[table.columns[i]] = value;
          },
          row[i]);
    out += json_text(line) + "\n";
  }
  return out;
}

std::string markdown(const Result& given) {
  const Result r = plain(given);
  std::string out;
  for (size_t j = 0; j < r.jobs.size(); ++j) {
    const Job& job = r.jobs[j];
    out += fmt::format(
        "{}: {}\n\n| engine | version | load s | cold s | mean total s | std. dev. | runs | "
        "median ms per unit | first token s | prefill per s | decode per s | between tokens ms | "
        "95 % | 99 % |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        to_string(job.kind),
        job.kind == JobKind::command ? std::string("runs")
        : job.kind == JobKind::op
            ? markdown_text(fmt::format("{} {} {}", job.op, joined(job.shape, "x"), job.dtype))
            : fmt::format("{} prompt tokens, {} new tokens, {} rows", job.prompt_tokens,
                          job.new_tokens, job.batch));
    for (const EngineResult& e : r.engines) {
      const Times times = times_of(r, e, int(j));
      const auto number = [](double x) { return fmt::format("{:.4g}", x); };
      const auto known = [&](const Reading<double>& x, double scale = 1) {
        return x.value ? number(*x.value * scale) : "-";
      };
      std::vector<std::string> cells = {markdown_text(e.label), markdown_text(e.version),
                                        known(e.load_s), known(e.first_s)};
      const auto published = std::ranges::find(e.published, int(j), &Published::job);
      if (published != e.published.end())
        cells.insert(cells.end(), {number(published->mean_s), number(published->stddev_s),
                                   fmt::format("{}", published->n)});
      else if (times.totals.empty())
        cells.insert(cells.end(), {"-", "-", "0"});
      else
        cells.insert(cells.end(), {number(mean(times.totals)), number(stddev(times.totals)),
                                   fmt::format("{}", times.totals.size())});
      std::vector<double> units;
      for (const Repetition* x : e.totals(int(j)))
        units.push_back(x->total_s * 1e3 / x->calls / std::max(1, x->new_tokens));
      cells.push_back(units.empty() ? "-" : number(median(units)));
      cells.insert(cells.end(), {known(times.first_token_s), known(times.prefill_per_s),
                                 known(times.decode_per_s), known(times.between_s, 1e3),
                                 known(times.between_95_s, 1e3), known(times.between_99_s, 1e3)});
      out += "| " + joined(cells, " | ") + " |\n";
    }
    out += "\n";
  }
  return out;
}

}  // namespace hearth::lab
