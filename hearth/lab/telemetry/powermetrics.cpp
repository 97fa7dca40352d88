#include "hearth/lab/telemetry/powermetrics.h"

#include <fmt/format.h>
#include <plist/plist.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/base/trimmed.h"
#include "hearth/io/json.h"

namespace hearth::lab {
namespace {

// Bounds on what foreign bytes can make us do. A sample of the largest Mac has 100 KB.
constexpr size_t kLongestSample = 16 << 20, kMostSamples = 1'000'000;
constexpr size_t kMostClusters = 256, kMostStates = 256;
constexpr int kDeepest = 32;
constexpr double kMost = 1e20;  // no quantity gets there, and sums and ratios stay finite

using Number = Reading<double>;
using Text = Reading<std::string>;

// A node of a property list, with the path to it; null where there is none.
class Node {
 public:
  Node(plist_t node, std::string path) : node_(node), path_(std::move(path)) {}

  Node at(const char* key) const {
    const bool dict = node_ && plist_get_node_type(node_) == PLIST_DICT;
    return {dict ? plist_dict_get_item(node_, key) : nullptr,
            path_.empty() ? key : path_ + "." + key};
  }
  std::vector<Node> items(size_t most) const {
    std::vector<Node> found;
    if (!node_ || plist_get_node_type(node_) != PLIST_ARRAY) return found;
    plist_array_iter cursor = nullptr;
    plist_array_new_iter(node_, &cursor);
    for (plist_t item = nullptr;
         plist_array_next_item(node_, cursor, &item), item && found.size() < most;)
      found.emplace_back(item, concat(path_, "[", found.size(), "]"));
    std::free(cursor);
    return found;
  }
  bool absent() const { return !node_; }
  const std::string& path() const { return path_; }

  /// A number that is neither NaN nor infinite nor negative: no quantity here can be.
  Number number() const {
    if (!node_) return Number::missing("the sample has no " + path_);
    if (plist_get_node_type(node_) == PLIST_STRING)
      return Number::missing(concat(path_, " is not a number: ", in_quotes(*text().value)));
    double value = -1;
    if (plist_get_node_type(node_) == PLIST_REAL) {
      plist_get_real_val(node_, &value);
      if (!std::isfinite(value)) return Number::missing(path_ + " is not finite");
    } else if (plist_get_node_type(node_) == PLIST_UINT) {
      uint64_t whole = 0;
      plist_get_uint_val(node_, &whole);
      value = whole > uint64_t(INT64_MAX) ? -1 : double(whole);  // a negative one looks so
    } else {
      return Number::missing(path_ + " is not a number");
    }
    if (value < 0) return Number::missing(path_ + " is negative");
    if (value > kMost) return Number::missing(path_ + " is too large");
    return value;
  }
  Text text() const {
    if (!node_) return Text::missing("the sample has no " + path_);
    if (plist_get_node_type(node_) != PLIST_STRING) return Text::missing(path_ + " is not text");
    uint64_t length = 0;
    const char* text = plist_get_string_ptr(node_, &length);
    return std::string(text, std::min<uint64_t>(length, 200));
  }

 private:
  plist_t node_;
  std::string path_;
};

// 1 less the parts in which it was idle or off.
Number active(const Node& node) {
  const Number idle = node.at("idle_ratio").number();
  if (!idle.value) return idle;
  if (*idle.value > 1.001) return Number::missing(node.at("idle_ratio").path() + " is above 1");
  const Number down = node.at("down_ratio").number();
  if (!down.value && !node.at("down_ratio").absent()) return down;
  return std::clamp(1 - *idle.value - down.value.value_or(0), 0.0, 1.0);
}

// The key says Hz: it is so for processors, and MHz for GPUs.
Number clock_mhz(const Node& node) {
  const Number value = node.at("freq_hz").number();
  if (!value.value || *value.value < 1e5) return value;
  if (*value.value >= 1e6) return *value.value * 1e-6;
  return Number::missing(node.at("freq_hz").path() + " is neither Hz nor MHz");
}

using States = Powermetrics::States;

// The parts of the time in states that have a name under `key`, or a clock. `idle` has none of
// them: it comes first.
States residencies(const Node& list, const char* key, const Node& idle_ratio) {
  std::vector<Residency> states;
  const Number idle = idle_ratio.number();
  if (!idle.value && !idle_ratio.absent()) return States::missing(idle.reason);
  double sum = idle.value.value_or(0);
  for (const Node& item : list.items(kMostStates)) {
    const Number fraction = item.at("used_ratio").number(), mhz = item.at("freq").number();
    const Text name = item.at(key).text();
    // A part that is not known would make the others look like all.
    if (!fraction.value && !item.at("used_ratio").absent()) return States::missing(fraction.reason);
    if (!mhz.value && !item.at("freq").absent()) return States::missing(mhz.reason);
    if (!fraction.value || (!name.value && !mhz.value)) continue;
    states.push_back(
        {name.value ? *name.value : fmt::format("{:g}", *mhz.value), mhz, *fraction.value});
    sum += *fraction.value;
  }
  if (states.empty()) return States::missing("the sample has no " + list.path());
  if (sum > 1.01)
    return States::missing(concat(list.path(), " sum up to ", sum, " times the time"));
  if (idle.value)
    states.insert(states.begin(), {"idle", Number::missing("it was idle"), *idle.value});
  return states;
}

// The mean over a list of states, where the key of the mean is not there.
Number mean_clock(const Node& list) {
  double sum = 0, time = 0;
  const auto states = residencies(list, "freq", Node(nullptr, ""));
  if (!states.value) return Number::missing(states.reason);
  for (const Residency& state : *states.value)
    if (state.clock_mhz.value) {
      sum += *state.clock_mhz.value * state.fraction;
      time += state.fraction;
    }
  if (time <= 0) return Number::missing(list.path() + " has no time in it");
  return sum / time;
}

Number clock_of(const Node& node) {
  Number clock = clock_mhz(node);
  if (!clock.value && node.at("freq_hz").absent())
    if (Number mean = mean_clock(node.at("dvfm_states")); mean.value) return mean;
  return clock;
}

// Energy (mJ) over the time that really passed; else the power (mW) that powermetrics computed.
Number power(const Powermetrics& sample, const Node& energy, const Node& milliwatts) {
  const Number joules = energy.number();
  if (joules.value && sample.elapsed_s.value && *sample.elapsed_s.value > 0)
    return *joules.value * 1e-3 / *sample.elapsed_s.value;
  const Number stated = milliwatts.number();
  if (stated.value) return *stated.value * 1e-3;
  if (joules.value) return Number::missing("without elapsed_ns an energy is no power");
  return joules;
}

Number first(Number a, Number b) { return a.value ? a : b.value ? b : a; }

Powermetrics sample_of(const Node& root) {
  Powermetrics s;
  s.elapsed_s = root.at("elapsed_ns").number();
  if (auto& elapsed = s.elapsed_s.value) *elapsed *= 1e-9;
  s.hardware = root.at("hw_model").text();
  s.thermal_pressure = root.at("thermal_pressure").text();

  const Node processor = root.at("processor"), gpu = root.at("gpu"), none(nullptr, "");
  const auto power_of = [&](const std::string& part) {
    return power(s, processor.at((part + "_energy").c_str()),
                 processor.at((part + "_power").c_str()));
  };
  s.cpu_power_w = power_of("cpu");
  s.gpu_power_w = first(power_of("gpu"), power(s, gpu.at("gpu_energy"), gpu.at("gpu_power")));
  s.ane_power_w = power_of("ane");
  s.memory_power_w = power_of("dram");
  // combined_power came with macOS 13 and is in mW; before, package_energy.
  s.package_power_w = power(s, processor.at("package_energy"), processor.at("combined_power"));
  s.gpu_clock_mhz = clock_of(gpu);
  s.gpu_active_fraction = active(gpu);
  s.gpu_states = residencies(gpu.at("dvfm_states"), "freq", gpu.at("idle_ratio"));
  s.gpu_requested_states = residencies(gpu.at("sw_requested_state"), "sw_req_state", none);
  s.gpu_sw_states = residencies(gpu.at("sw_state"), "sw_state", none);

  std::vector<Cluster> clusters;
  for (const Node& item : processor.at("clusters").items(kMostClusters))
    clusters.push_back({item.at("name").text().value.value_or("?"), clock_of(item), active(item)});
  if (clusters.empty())
    s.clusters = Reading<std::vector<Cluster>>::missing("the sample has no processor.clusters");
  else
    s.clusters = std::move(clusters);
  return s;
}

// Why libplist should not have it, which frees by recursion; "" if it may. Closing tags in
// comments, CDATA and attributes close nothing.
std::string trouble(std::string_view text) {
  const auto past = [&](std::string_view what, size_t at) {
    const size_t end = text.find(what, at);
    return end == text.npos ? text.size() : end + what.size();
  };
  int depth = 0;
  for (size_t at = 0; (at = text.find('<', at)) != text.npos;) {
    const std::string_view tag = text.substr(at, 9);
    if (tag.starts_with("<!--")) {
      at = past("-->", at);
    } else if (tag.starts_with("<![CDATA[")) {
      at = past("]]>", at);
    } else if (tag.starts_with("<!") || tag.starts_with("<?")) {
      at = past(">", at);
    } else {
      const size_t end = past(">", at);
      if (text.substr(at + 1, end - at - 1).find('<') != text.npos) return "is not well-formed";
      if (tag.starts_with("</dict>") || tag.starts_with("</array>"))
        depth = std::max(depth - 1, 0);
      else if ((tag.starts_with("<dict") || tag.starts_with("<array")) &&
               !tag.starts_with("<dict/>") && !tag.starts_with("<array/>"))
        if (++depth > kDeepest) return "is nested too deep";
      at = end;
    }
  }
  return "";
}

bool is_number(std::string_view text, bool whole) {
  text = trimmed(text);
  if (text.empty()) return false;
  if (text[0] == '+' || (whole && text[0] == '-')) text.remove_prefix(1);
  if (whole) {
    const bool hex = text.starts_with("0x");
    const std::string_view digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
    if (hex) text.remove_prefix(2);
    return !text.empty() && text.find_first_not_of(digits) == text.npos;
  }
  double value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size();
}

// libplist reads 0 for what is not a number (`0,5`, `n/a`, nothing): here it becomes a text.
std::string with_numbers_checked(std::string_view text) {
  std::string out;
  size_t done = 0;
  for (size_t at = 0; (at = text.find('<', at)) != text.npos;) {
    const std::string_view tag = text.substr(at, 10);
    const bool whole = tag.starts_with("<integer");
    const std::string_view name = whole ? "integer" : "real";
    const bool wanted = tag.substr(1).starts_with(name) && tag.size() > name.size() + 1 &&
                        std::string_view(" \t\r\n/>").find(tag[name.size() + 1]) != tag.npos;
    if (!wanted) {
      at += 1;
      continue;
    }
    const size_t open = text.find('>', at);
    if (open == text.npos) break;
    const bool alone = text[open - 1] == '/';
    const size_t close = alone ? open : text.find('<', open);
    const std::string_view content =
        alone ? "" : text.substr(open + 1, std::min(close, text.size()) - open - 1);
    const size_t end = alone ? open : text.find('>', std::min(close, text.size()));
    if (end == text.npos) break;
    if (!is_number(content, whole)) {
      out.append(text.substr(done, at - done));
      out += concat("<string>", content, "</string>");
      done = end + 1;
    }
    at = end + 1;
  }
  return out.append(text.substr(done));
}

// The sample, or why there is none.
Reading<Powermetrics> parse(std::string_view text) {
  using Sample = Reading<Powermetrics>;
  if (text.size() > kLongestSample) return Sample::missing("is longer than 16 MiB");
  if (text.find("</plist>") == text.npos) return Sample::missing("is cut short");
  if (const std::string why = trouble(text); !why.empty()) return Sample::missing(why);
  plist_t root = nullptr;
  const std::string checked = with_numbers_checked(text);
  plist_from_xml(checked.data(), uint32_t(checked.size()), &root);
  const std::unique_ptr<void, void (*)(plist_t)> owned(root, plist_free);
  if (!root || plist_get_node_type(root) != PLIST_DICT)
    return Sample::missing("is not a property list");
  return sample_of(Node(root, ""));
}

}  // namespace

Capture read_powermetrics(std::string_view text) {
  Capture capture;
  size_t count = 0;
  for (size_t at = 0; at < text.size() && count < kMostSamples;) {
    // A NUL is between samples; some copies have lost it.
    const size_t start = text.find_first_not_of(std::string_view("\0 \t\r\n", 5), at);
    if (start == text.npos) break;
    const size_t end =
        std::min({text.find('\0', start), text.find("<?xml", start + 1), text.size()});
    at = end;
    ++count;
    Reading<Powermetrics> sample = parse(text.substr(start, end - start));
    if (sample.value)
      capture.samples.push_back(std::move(*sample.value));
    else if (capture.notes.size() < 100)
      capture.notes.push_back(concat("sample ", count, " ", sample.reason));
  }
  return capture;
}

namespace {

using nlohmann::json;

json value_of(const std::vector<Residency>& states) {
  json list = json::array();
  for (const Residency& one : states)
    list.push_back({{"state", one.state},
                    {"clock_mhz", one.clock_mhz.value ? json(*one.clock_mhz.value) : json()},
                    {"fraction", one.fraction}});
  return list;
}
const json value_of(double number) { return number; }
const json value_of(const std::string& text) { return text; }

}  // namespace

json to_json(const Powermetrics& sample) {
  json out = json::object(), reasons = json::object();
  const auto put = [&](json& to, const char* key, const auto& reading, const std::string& name) {
    to[key] = reading.value ? value_of(*reading.value) : json();
    if (!reading.value) reasons[name] = reading.reason;
  };
  const auto field = [&](const char* key, const auto& reading) { put(out, key, reading, key); };
  field("elapsed_s", sample.elapsed_s);
  field("hardware", sample.hardware);
  field("thermal_pressure", sample.thermal_pressure);
  field("cpu_power_w", sample.cpu_power_w);
  field("gpu_power_w", sample.gpu_power_w);
  field("ane_power_w", sample.ane_power_w);
  field("memory_power_w", sample.memory_power_w);
  field("package_power_w", sample.package_power_w);
  field("gpu_clock_mhz", sample.gpu_clock_mhz);
  field("gpu_active_fraction", sample.gpu_active_fraction);
  field("gpu_states", sample.gpu_states);
  field("gpu_requested_states", sample.gpu_requested_states);
  field("gpu_sw_states", sample.gpu_sw_states);
  out["clusters"] = json();
  if (!sample.clusters.value) {
    reasons["clusters"] = sample.clusters.reason;
  } else {
    out["clusters"] = json::array();
    for (const Cluster& cluster : *sample.clusters.value) {
      json one = {{"name", cluster.name}};
      put(one, "clock_mhz", cluster.clock_mhz, cluster.name + ".clock_mhz");
      put(one, "active_fraction", cluster.active_fraction, cluster.name + ".active_fraction");
      out["clusters"].push_back(std::move(one));
    }
  }
  out["reasons"] = std::move(reasons);
  return out;
}

}  // namespace hearth::lab
