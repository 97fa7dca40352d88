#include "hearth/lab/show/plain.h"

#include <set>

#include "hearth/base/error.h"
#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

void make_plain(std::string& text) { text = one_line(text); }
template <class T>
void make_plain(T& value);
template <class T>
void make_plain(std::vector<T>& list);
template <class T>
void make_plain(Reading<T>& reading);
template <class T>
void make_plain(std::map<std::string, T>& map);
template <class T>
void make_plain(std::optional<T>& maybe) {
  if (maybe) make_plain(*maybe);
}
template <class T>
void make_plain(Reading<T>& reading) {
  make_plain(reading.value);
  make_plain(reading.reason);
}
template <class T>
void make_plain(std::map<std::string, T>& map) {
  std::map<std::string, T> all;
  for (auto& [key, value] : map) {
    make_plain(value);
    all.emplace(one_line(key), std::move(value));
  }
  map = std::move(all);
}
template <class T>
void make_plain(std::vector<T>& list) {
  if constexpr (!std::is_arithmetic_v<T>)
    for (T& item : list) make_plain(item);
}
template <class T>
void make_plain(T& value) {
  if constexpr (requires { T::kName; })
    value.fields([](const char*, auto& field) { make_plain(field); });
}

}  // namespace

Result plain(Result result) {
  std::map<std::string, std::string> names;  // labels, as they are shown
  std::set<std::string> taken;
  std::map<std::string, int> twins;
  for (const EngineResult& e : result.engines) {
    const std::string line = one_line(e.label);
    std::string name = line;
    for (int& n = twins[line]; !taken.insert(name).second;) name = concat(line, " (", ++n + 1, ")");
    names[e.label] = name;
  }
  const auto rename = [&](std::string& label) {
    if (const auto it = names.find(label); it != names.end()) label = it->second;
  };
  for (EngineResult& e : result.engines) {
    rename(e.label);
    for (Margin& m : e.margins) rename(m.other);
  }
  for (Intervention& i : result.interventions) rename(i.engine);
  make_plain(result);
  return result;
}

}  // namespace hearth::lab
