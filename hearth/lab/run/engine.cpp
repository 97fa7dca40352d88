#include "hearth/lab/run/engine.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/json.h"
#include "hearth/lab/telemetry/files.h"

namespace hearth::lab {

using nlohmann::json;

namespace {

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Clock::time_point after(double s) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

/// An answer, read field by field: whatever is of another type than it should be is a fault.
template <class T, class Is>
Reading<T> field(const json& from, const char* key, Is is) {
  const auto it = from.find(key);
  if (it == from.end() || it->is_null()) return Reading<T>::missing("the engine gave none");
  bool fits = (it.value().*is)();
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
    fits = fits && it->get<uint64_t>() <= uint64_t(std::numeric_limits<T>::max());
  if (!fits) throw EngineFault(concat("answered with ", key, " = ", it->dump()));
  return it->get<T>();
}

Reading<int64_t> count(const json& from, const char* key) {
  return field<int64_t>(from, key, &json::is_number_unsigned);
}

std::string text(const json& from, const char* key) {
  return field<std::string>(from, key, &json::is_string).value.value_or("");
}

std::vector<std::string> texts(const json& from, const char* key) {
  std::vector<std::string> all;
  for (const json& item : from.value(key, json::array())) {
    if (!item.is_string()) throw EngineFault(concat("answered with no text in ", key));
    all.push_back(item.get<std::string>());
  }
  return all;
}

std::vector<int> ids_of(const json& list, int most) {
  if (!list.is_array() || list.size() > size_t(most))
    throw EngineFault(concat("answered with ids that are no list of at most ", most));
  std::vector<int> ids;
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t(INT32_MAX))
      throw EngineFault(concat("answered with the id ", in_quotes(id.dump())));
    ids.push_back(id.get<int>());
  }
  return ids;
}

/// What an engine says of itself, fit for a line.
std::string sentence(std::string text) {
  constexpr size_t kLongest = 300;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  for (char& c : text)
    if (c < ' ' || c > '~') c = c == '\n' ? ' ' : '?';
  return text;
}

EngineLoad facts_of(const json& done) {
  EngineLoad facts;
  facts.dtype = text(done, "dtype");
  facts.activations = text(done, "activations");
  facts.weights_bytes = count(done, "weights_bytes");
  const auto parameters = count(done, "parameters");
  if (facts.weights_bytes.value && parameters.value && *parameters.value > 0)
    facts.bytes_per_weight = double(*facts.weights_bytes.value) / double(*parameters.value);
  else
    facts.bytes_per_weight =
        Reading<double>::missing("the engine gives no number of weights, or of their bytes");
  facts.threads = field<int>(done, "threads", &json::is_number_unsigned);
  facts.same_prompt_ids = field<bool>(done, "takes_ids", &json::is_boolean);
  const std::string sampling = text(done, "sampling");
  facts.sampling = sampling == "greedy"    ? Sampling::greedy
                   : sampling == "sampled" ? Sampling::sampled
                                           : Sampling::unknown;
  facts.notes = texts(done, "notes");
  return facts;
}

}  // namespace

std::vector<std::vector<int>> rows_of(const Job& job) {
  std::vector<std::vector<int>> rows;
  for (int b = 0; b < job.batch; ++b) {
    std::vector<int>& row = rows.emplace_back(job.prompt_ids);
    if (!row.empty()) std::rotate(row.begin(), row.begin() + b % long(row.size()), row.end());
  }
  return rows;
}

struct Engine::Reply {
  json done;
  Clock::time_point sent, arrived;
};

Engine::Engine(const EngineSpec& spec, const EnginePlaces& places, const Timeouts& timeouts,
               const std::atomic<bool>* interrupted)
    : spec_(spec), timeouts_(timeouts), child_(command_of(spec, places), {}, interrupted) {}

Engine::Reply Engine::ask(json request, double timeout_s, const OnToken& on_token) {
  const auto deadline = after(timeout_s);
  const int id = request["id"] = ++last_;
  child_.resume();
  Reply reply;
  reply.sent =
      child_.write_line(request.dump(-1, ' ', false, json::error_handler_t::replace), deadline);
  while (true) {
    const auto line = child_.read_line(deadline);
    json said;
    try {
      said = parse_json(line.text, "it");
    } catch (const std::exception&) {
    }
    if (!said.is_object())
      throw child_.kill(concat("wrote something else than the protocol: ", in_quotes(line.text)));
    if (said.value("id", json()) != id)
      throw child_.kill(concat("answered request ", said.value("id", json()).dump(), ", not ", id));
    try {
      if (said.contains("token") && on_token) {
        on_token(said["token"], line.arrived);
      } else if (said.contains("error")) {
        throw EngineRefusal(sentence(text(said, "error")));
      } else if (said.contains("done") && said["done"].is_object()) {
        reply.done = std::move(said["done"]);
        reply.arrived = line.arrived;
        return reply;
      } else {
        throw EngineFault(concat("wrote something else than the protocol: ", in_quotes(line.text)));
      }
    } catch (const EngineFault& fault) {
      throw child_.kill(fault.what());
    }
  }
}

template <class Read>
auto Engine::understand(Read&& read) {
  try {
    return read();
  } catch (const EngineFault& fault) {
    throw child_.kill(fault.what());
  } catch (const json::exception&) {
    throw child_.kill("answered with something else than the protocol");
  }
}

EngineHello Engine::hello() {
  // A server loads its model before it answers.
  const double timeout = spec_.options.contains("command") ? timeouts_.load_s : timeouts_.hello_s;
  json request = {
      {"do", "hello"}, {"protocol", 1}, {"options", spec_.options}, {"timeout", timeout}};
  request["device"] = spec_.device.empty() ? json() : json(spec_.device);
  const json done = ask(request, timeout).done;
  return understand([&] {
    const auto pid = field<int>(done, "pid", &json::is_number_unsigned).value;
    if (pid && getpgid(*pid) == child_.pid()) serving_ = *pid;
    EngineHello hello{text(done, "name"),
                      text(done, "version"),
                      text(done, "device"),
                      field<std::string>(done, "commit", &json::is_string),
                      texts(done, "devices"),
                      {},
                      field<bool>(done, "counts_launches", &json::is_boolean).value.value_or(false),
                      field<bool>(done, "tells_logits", &json::is_boolean).value.value_or(false)};
    const json lacks = done.value("lacks", json::object());
    for (const auto& [what, why] : lacks.items())
      hello.lacks[what] = sentence(why.get<std::string>());
    return hello;
  });
}

std::optional<std::string> EngineHello::lack(const Job& job) const {
  const auto found = lacks.find(job.kind == JobKind::op ? job.op : "generate");
  if (found == lacks.end()) return std::nullopt;
  return found->second;
}

EngineLoad Engine::load(const std::filesystem::path& model) {
  const json done = ask({{"do", "load"}, {"model", model.string()}}, timeouts_.load_s).done;
  return understand([&] { return facts_of(done); });
}

Repetition Engine::run(const Job& job, bool streamed, int calls, Clock::time_point origin) {
  json request = {{"do", "run"}, {"kind", to_string(job.kind)}, {"stream", streamed}};
  if (job.kind == JobKind::op) {
    request.update({{"op", job.op}, {"dtype", job.dtype}, {"shape", job.shape}, {"calls", calls}});
  } else {
    request.update({{"prompts", rows_of(job)}, {"new_tokens", job.new_tokens}});
    if (!job.prompt.empty()) request["text"] = job.prompt;
  }
  Repetition r;
  r.streamed = streamed;
  r.calls = calls;
  const int rows = job.batch, most = std::max(job.new_tokens, 1);
  std::vector<std::vector<int>> arrived{size_t(rows)};
  std::vector<Clock::time_point> stamps;
  const auto on_token = [&](const json& ids, Clock::time_point at) {
    if (stamps.size() == size_t(most))
      throw EngineFault(concat("sent more than the ", most, " tokens it was asked for"));
    stamps.push_back(at);
    if (ids.is_null()) return;  // a server shows that a token came, not which
    const auto list = ids_of(ids, rows);
    if (list.size() != size_t(rows)) throw EngineFault("sent a token for some rows only");
    for (int b = 0; b < rows; ++b) arrived[size_t(b)].push_back(list[size_t(b)]);
  };
  const Reply reply = ask(request, timeouts_.run_s, streamed ? OnToken(on_token) : OnToken());
  r.start_s = seconds(origin, reply.sent);
  r.total_s = seconds(reply.sent, reply.arrived);
  if (r.total_s <= 0) throw child_.kill("answered before it was asked");
  for (const auto stamp : stamps) r.token_s.push_back(std::max(0.0, seconds(reply.sent, stamp)));
  understand([&] {
    if (const auto ids = reply.done.find("ids"); ids != reply.done.end() && ids->is_array()) {
      if (ids->size() > size_t(rows)) throw EngineFault("answered with more rows than asked");
      for (const json& row : *ids) r.ids.push_back(ids_of(row, most));
    }
    r.prompt_tokens = field<int>(reply.done, "prompt_tokens", &json::is_number_unsigned)
                          .value.value_or(job.prompt_tokens);
    r.new_tokens = r.ids.empty() ? field<int>(reply.done, "new_tokens", &json::is_number_unsigned)
                                       .value.value_or(int(stamps.size()))
                                 : int(r.ids.front().size());
    const json own = reply.done.value("own", json::object());
    for (const auto& [key, value] : own.items())
      if (value.is_number() && std::abs(value.get<double>()) <= kLargest)
        r.own[key] = value.get<double>();
    if (streamed && !r.ids.empty() && !arrived.front().empty() && arrived != r.ids)
      throw EngineFault("streamed other ids than it answered with");
  });
  return r;
}

double Engine::checksum() {
  const json done = ask({{"do", "check"}}, timeouts_.run_s).done;
  return understand([&] {
    const double sum = done.at("checksum").get<double>();
    if (std::abs(sum) > kLargest) throw EngineFault(concat("answered with the checksum ", sum));
    return sum;
  });
}

void Engine::clear_cache() { ask({{"do", "clear_cache"}}, timeouts_.run_s); }

Engine::Launches Engine::launches(const Job& job) {
  const json done =
      ask({{"do", "launches"}, {"prompts", rows_of(job)}, {"new_tokens", job.new_tokens}},
          timeouts_.run_s)
          .done;
  return understand([&] {
    Launches l{count(done, "launches"), count(done, "replayed")};
    const std::string why = sentence(text(done, "reason"));
    for (auto* one : {&l.one_by_one, &l.replayed})
      if (!one->value && !why.empty()) *one = Reading<int64_t>::missing(why);
    return l;
  });
}

std::vector<double> Engine::logits(const std::vector<int>& prompt, const std::vector<int>& tokens) {
  const json done =
      ask({{"do", "logits"}, {"prompt", prompt}, {"tokens", tokens}}, timeouts_.run_s).done;
  return understand([&] {
    const auto logits = done.at("logits").get<std::vector<double>>();
    bool right = logits.size() == tokens.size();
    for (const double x : logits) right &= std::abs(x) <= kLargest;
    if (!right) throw EngineFault(concat("answered with the logits ", done.at("logits").dump()));
    return logits;
  });
}

std::vector<Ceiling> Engine::limits() {
  const json done = ask({{"do", "limits"}}, timeouts_.run_s).done;
  return understand([&] {
    std::vector<Ceiling> all;
    for (const json& one : done.at("limits")) {
      Ceiling c{text(one, "name"),
                spec_.device.substr(0, spec_.device.find(':')),
                text(one, "unit"),
                concat("measured by ", spec_.name),
                {}};
      if (const json& value = one.at("value");
          value.is_number() && std::abs(value.get<double>()) <= kLargest)
        c.value = value.get<double>();
      else
        c.value = Reading<double>::missing(sentence(text(one, "reason")));
      all.push_back(std::move(c));
    }
    return all;
  });
}

void Engine::bye() noexcept {
  try {
    child_.resume();
    child_.write_line(json{{"id", ++last_}, {"do", "bye"}}.dump(), after(timeouts_.close_s));
    child_.close(after(timeouts_.close_s));
  } catch (const std::exception&) {  // it is gone: that is what was wanted
  }
}

namespace {

/// "VmRSS: 123 kB" of a file of /proc.
Reading<int64_t> kib(const std::filesystem::path& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (const auto words = words_of(line); words.size() == 3 && words[0] == concat(key, ":"))
      if (const auto n = number_of(words[1]); n && words[2] == "kB") return int64_t(*n) * 1024;
  return Reading<int64_t>::missing(concat(file.string(), " has no ", key));
}

}  // namespace

Memory Engine::memory(std::string_view moment) {
  const json done = ask({{"do", "memory"}}, timeouts_.run_s).done;
  Memory m;
  m.moment = moment;
  understand([&] {
    m.tensors_bytes = count(done, "tensors_bytes");
    m.tensors_peak_bytes = count(done, "tensors_peak_bytes");
    m.driver_bytes = count(done, "driver_bytes");
    m.device_used_bytes = count(done, "device_used_bytes");
  });
  const std::filesystem::path status = concat("/proc/", pid(), "/status");
  m.resident_bytes = kib(status, "VmRSS");
  m.resident_peak_bytes = kib(status, "VmHWM");
  m.resident_anonymous_bytes = kib(status, "RssAnon");
  m.resident_file_bytes = kib(status, "RssFile");
  const auto total = kib("/proc/meminfo", "MemTotal"), left = kib("/proc/meminfo", "MemAvailable");
  if (total.value && left.value)
    m.system_used_bytes = *total.value - *left.value;
  else
    m.system_used_bytes =
        Reading<int64_t>::missing("/proc/meminfo has no MemTotal and MemAvailable");
  return m;
}

}  // namespace hearth::lab
