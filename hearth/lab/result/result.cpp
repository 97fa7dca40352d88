// What the values of a result must satisfy beyond their types.
#include "hearth/lab/result/result.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "hearth/base/error.h"
#include "hearth/io/json.h"

namespace hearth::lab {

const EngineResult* Result::engine(std::string_view label) const {
  for (const EngineResult& e : engines)
    if (e.label == label) return &e;
  return nullptr;
}

const std::vector<std::vector<int>>* EngineResult::ids(int job) const {
  for (const Repetition& r : repetitions)
    if (r.job == job && r.counts() && !r.ids.empty()) return &r.ids;
  return nullptr;
}

std::vector<const Repetition*> EngineResult::totals(int job) const {
  std::vector<const Repetition*> plain, streamed;
  for (const Repetition& r : repetitions)
    if (r.job == job && r.counts()) (r.streamed ? streamed : plain).push_back(&r);
  return plain.empty() ? streamed : plain;
}

const Channel* Timeline::find(std::string_view name) const {
  const Channel* first = nullptr;
  for (const Channel& c : channels) {
    if (c.name != name) continue;
    for (const auto& v : c.values)
      if (v) return &c;
    if (!first) first = &c;
  }
  return first;
}

void append(Timeline& to, const Timeline& more) {
  const size_t before = to.time_s.size();
  std::vector<size_t> seen;  // values of each channel
  for (const Channel& channel : to.channels) seen.push_back(channel.values.size());
  for (const Channel& channel : more.channels) {
    auto it = std::ranges::find_if(to.channels, [&](const Channel& c) {
      return c.name == channel.name && c.source == channel.source;
    });
    if (it == to.channels.end()) {
      it = to.channels.insert(it, channel);
      it->values.clear();
    }
    it->values.resize(before);
    it->values.insert(it->values.end(), channel.values.begin(), channel.values.end());
    if (!channel.reason.empty()) it->reason = channel.reason;
  }
  to.time_s.insert(to.time_s.end(), more.time_s.begin(), more.time_s.end());
  seen.resize(to.channels.size());
  for (size_t i = 0; i < seen.size(); ++i) {
    Channel& c = to.channels[i];
    c.values.resize(to.time_s.size());
    const bool whole = std::all_of(c.values.begin() + long(seen[i]), c.values.end(),
                                   [](const auto& v) { return v.has_value(); });
    if ((!whole || c.values.empty()) && c.reason.empty()) c.reason = "not sampled all the time";
  }
  if (more.sampler_cpu_s.value)
    to.sampler_cpu_s = to.sampler_cpu_s.value.value_or(0) + *more.sampler_cpu_s.value;
}

void check_job(const Result& result, int job, std::string_view who) {
  const size_t jobs = result.jobs.size();
  check(job >= 0 && size_t(job) < jobs, who, ": no job ", job + 1, ": the result has ", jobs,
        jobs == 1 ? " job" : " jobs");
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

namespace {

/// "out.json: engines[1].repetitions[3]"
struct Where {
  std::string_view file;
  std::string path;
  Where in(std::string_view list, size_t index) const {
    return {file, concat(path, path.empty() ? "" : ".", list, "[", index, "]")};
  }
};

template <class... Parts>
void agree(bool ok, const Where& at, const Parts&... parts) {
  if (!ok) [[unlikely]]
    ensure(false, at.file, ": ", at.path, ": ", parts...);
}

constexpr double kShortest = 1e-9;  // seconds: no clock here is finer

bool ascending(const std::vector<double>& times) {
  for (size_t i = 0; i < times.size(); ++i)
    if (!(times[i] >= (i ? times[i - 1] : 0))) return false;
  return true;
}

void check_index(int job, const Result& result, const Where& at) {
  agree(job >= 0 && size_t(job) < result.jobs.size(), at, "job is ", job, ", but there are ",
        result.jobs.size(), " jobs");
}

void check_repetition(const Repetition& r, const Result& result, const Where& at) {
  check_index(r.job, result, at);
  agree(r.round >= 0, at, "round is ", r.round, ", wanted 0 or more");
  agree(!r.disturbance || r.disturbance->processors > 0, at,
        "disturbance.processors is below 1, wanted 1 or more");
  agree(r.start_s >= 0, at, "start_s is ", r.start_s, ", wanted 0 or more");
  agree(r.total_s >= kShortest, at, "total_s is ", r.total_s, ", wanted 1e-9 or more");
  agree(r.calls > 0, at, "calls is ", r.calls, ", wanted 1 or more");
  agree(r.prompt_tokens >= 0 && r.new_tokens >= 0, at, "a count of tokens is below 0");
  agree(ascending(r.token_s), at, "token_s does not ascend from 0");
  agree(r.token_s.empty() || r.token_s.back() <= r.total_s, at,
        "the last token came after the end: ", r.token_s.empty() ? 0 : r.token_s.back(), " s of ",
        r.total_s, " s");
  agree(r.token_s.empty() || r.streamed, at, "token_s is there, but streamed is false");
}

void check_engine(const EngineResult& e, const Result& result, const Where& at) {
  agree(!e.label.empty(), at, "label is empty");
  for (size_t i = 0; i < e.repetitions.size(); ++i) {
    const Repetition& r = e.repetitions[i];
    check_repetition(r, result, at.in("repetitions", i));
    agree(r.start >= 0 && size_t(r.start) < std::max<size_t>(1, e.starts.size()),
          at.in("repetitions", i), "start is ", r.start, ", but there are ", e.starts.size(),
          " starts");
  }
  for (size_t i = 0; i < e.published.size(); ++i) {
    const Published& p = e.published[i];
    const Where here = at.in("published", i);
    check_index(p.job, result, here);
    agree(p.mean_s >= kShortest && p.stddev_s >= 0 && p.n >= 1, here, "mean_s ", p.mean_s,
          ", stddev_s ", p.stddev_s, ", n ", p.n,
          ": wanted a positive mean of 1e-9 or more, and at least one run");
    agree(p.prompt_tokens >= 0 && p.new_tokens >= 0, here, "a count of tokens is below 0");
  }
  for (size_t i = 0; i < e.margins.size(); ++i) {
    const Margin& m = e.margins[i];
    check_index(m.job, result, at.in("margins", i));
    agree(m.row >= 0 && m.index >= 0, at.in("margins", i), "row ", m.row, ", index ", m.index,
          ": wanted 0 or more");
  }
  const Timeline& t = e.telemetry;
  agree(ascending(t.time_s), at, "telemetry.time_s does not ascend from 0");
  for (size_t i = 0; i < t.channels.size(); ++i) {
    const Channel& c = t.channels[i];
    const Where here = at.in("telemetry.channels", i);
    agree(c.values.size() == t.time_s.size(), here, t.time_s.size(), " times, but ",
          c.values.size(), " values");
    bool all = !c.values.empty();
    for (const auto& v : c.values) all &= v.has_value();
    agree(all || !c.reason.empty(), here, "values are missing, but reason is empty");
  }
}

}  // namespace

void check_result(const Result& result, std::string_view name) {
  const Where top{name, ""};
  std::set<std::string_view> labels;
  for (size_t i = 0; i < result.jobs.size(); ++i) {
    const Job& job = result.jobs[i];
    agree(job.prompt_tokens >= 0 && job.new_tokens >= 0 && job.batch >= 1, top.in("jobs", i),
          "prompt_tokens ", job.prompt_tokens, ", new_tokens ", job.new_tokens, ", batch ",
          job.batch, ": wanted no count below 0, and at least one row");
  }
  for (size_t i = 0; i < result.engines.size(); ++i) {
    const Where at = top.in("engines", i);
    check_engine(result.engines[i], result, at);
    agree(labels.insert(result.engines[i].label).second, at, "the label ",
          in_quotes(result.engines[i].label), " stands twice");
  }
  for (size_t i = 0; i < result.interventions.size(); ++i) {
    const Intervention& one = result.interventions[i];
    const Where at = top.in("interventions", i);
    check_index(one.job, result, at);
    agree(result.engine(one.engine), at, "there is no engine ", in_quotes(one.engine));
    agree(0 < one.least && one.least <= one.predicted && one.predicted <= one.most, at,
          "predicted is ", one.predicted, ", not between ", one.least, " and ", one.most);
    agree(!one.predicted_at.empty(), at, "predicted_at is empty");
    for (size_t e = 0; e < one.executions.size(); ++e)
      check_engine(one.executions[e], result, at.in("executions", e));
  }
}

}  // namespace hearth::lab
