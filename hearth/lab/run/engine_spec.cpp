#include "hearth/lab/run/engine_spec.h"

#include <algorithm>
#include <fstream>

#include "hearth/base/error.h"

namespace hearth::lab {

namespace {

constexpr std::string_view kEnding = "_engine.py";

bool word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::vector<KnownEngine> known_engines(const EnginePlaces& places) {
  std::vector<KnownEngine> known;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(places.adapters, none)) {
    if (!entry.path().filename().string().ends_with(kEnding)) continue;
    std::ifstream file(entry.path());
    std::string line;
    for (int i = 0; i < 10 && std::getline(file, line); ++i) {
      constexpr std::string_view kHead = "# engine: ";
      if (!line.starts_with(kHead)) continue;
      std::vector<std::string> parts;
      for (std::string_view part : split(std::string_view(line).substr(kHead.size()), '|')) {
        const size_t first = part.find_first_not_of(' ');
        const size_t last = part.find_last_not_of(' ');
        parts.emplace_back(first == part.npos ? "" : part.substr(first, last + 1 - first));
      }
      parts.resize(3);
      known.push_back({parts[0], parts[1], parts[2], entry.path()});
      break;
    }
  }
  std::ranges::sort(known, {}, &KnownEngine::name);
  known.insert(known.begin(), {"hearth", "generate op", "it is this program", ""});
  return known;
}

namespace {

constexpr std::string_view kServer = "server:";

EngineSpec parse_server(std::string_view text) {
  EngineSpec spec;
  spec.text = text;
  spec.name = kServer.substr(0, kServer.size() - 1);
  std::string_view rest = text.substr(kServer.size());
  // Words before the command, as a shell has settings before its own.
  while (true) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view first = rest.substr(0, rest.find(' '));
    const size_t equals = first.find('=');
    const std::string_view key = first.substr(0, equals);
    const bool option =
        equals != first.npos && (key == "url" || key == "model" || key == "key" || key == "api");
    if (!option) break;
    check(spec.options.emplace(std::string(key), std::string(first.substr(equals + 1))).second,
          "engine '", text, "': the option ", key, " stands twice");
    rest.remove_prefix(first.size());
  }
  check(!rest.empty() || spec.options.contains("url"), "engine '", text,
        "': wanted server:COMMAND or server:http://...");
  if (rest.starts_with("http://") || rest.starts_with("https://"))
    spec.device = rest;
  else if (!rest.empty())
    spec.options["command"] = rest;
  return spec;
}

}  // namespace

std::string spec_of_label(const std::string& label) {
  const size_t mark = label.rfind('#');
  const bool twin = mark != label.npos && mark + 1 < label.size() &&
                    label.find_first_not_of("0123456789", mark + 1) == label.npos;
  return twin ? label.substr(0, mark) : label;
}

EngineSpec parse_engine(std::string_view text) {
  if (text.starts_with(kServer)) return parse_server(text);
  EngineSpec spec;
  spec.text = text;
  constexpr std::string_view kForm = "; the form is name[@program][:device[:key=value,...]]";
  std::vector<std::string_view> parts = split(text, ':');
  std::string_view first = parts.front();
  const size_t at = first.find('@');
  spec.name = first.substr(0, at);
  check(word(spec.name), "engine '", text, "': '", spec.name, "' is no name", kForm);
  if (at != first.npos) {
    spec.program = first.substr(at + 1);
    check(!spec.program.empty(), "engine '", text, "': no program after @", kForm);
  }
  parts.erase(parts.begin());
  if (!parts.empty() && parts.back().find('=') != parts.back().npos) {
    for (std::string_view option : split(parts.back(), ',')) {
      const size_t equals = option.find('=');
      const std::string_view key = option.substr(0, equals);
      check(equals != option.npos && word(key), "engine '", text, "': '", option,
            "' is not key=value", kForm);
      const bool first_time =
          spec.options.emplace(std::string(key), std::string(option.substr(equals + 1))).second;
      check(first_time, "engine '", text, "': the option ", key, " stands twice");
    }
    parts.pop_back();
  }
  for (std::string_view part : parts)  // "cuda:1", "http://host:8080/v1"
    spec.device += concat(spec.device.empty() ? "" : ":", part);
  check(parts.empty() || !spec.device.empty(), "engine '", text, "': no device after ':'", kForm);
  return spec;
}

std::vector<EngineSpec> parse_engines(std::string_view text) {
  std::vector<std::string> names;
  const size_t server = text.starts_with(kServer) ? 0 : text.find(concat(",", kServer));
  const std::string_view last =
      server == text.npos ? std::string_view() : text.substr(server + (server > 0));
  if (server == 0) return {parse_engine(text)};
  for (std::string_view piece : split(text.substr(0, server), ',')) {
    const size_t equals = piece.find('='), colon = piece.find(':');
    if (!names.empty() && equals != piece.npos && equals < colon)
      names.back() += concat(",", piece);
    else
      names.emplace_back(piece);
  }
  std::vector<EngineSpec> specs;
  for (const std::string& name : names) specs.push_back(parse_engine(name));
  if (!last.empty()) specs.push_back(parse_engine(last));
  return specs;
}

std::vector<std::string> command_of(const EngineSpec& spec, const EnginePlaces& places) {
  if (spec.name == "hearth")
    return {spec.program.empty() ? places.hearth.string() : spec.program, "lab", "engine"};
  const auto known = known_engines(places);
  const auto it = std::ranges::find(known, spec.name, &KnownEngine::name);
  if (it != known.end())
    return {spec.program.empty() ? places.python : spec.program, it->adapter.string()};
  std::string all;
  for (const KnownEngine& k : known) all += concat(all.empty() ? "" : ", ", k.name);
  check(!spec.program.empty(), "engine '", spec.text, "' is not known; there are ", all,
        ", and any program as name@program (docs/engines.md)");
  return {spec.program};
}

}  // namespace hearth::lab
