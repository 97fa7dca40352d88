#include "hearth/lab/run/command_line.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "hearth/base/error.h"

namespace hearth::lab {

namespace {

constexpr size_t kMostValues = 10000, kMostCommands = 1000;
constexpr size_t kMostDigits = 9;  // after the point

void check_name(const std::string& name) {
  const bool word = !name.empty() && std::ranges::none_of(name, [](char c) {
    return c == '{' || c == '}' || static_cast<unsigned char>(c) <= ' ';
  });
  check(word, "parameter '", name, "': wanted a name without blanks and braces");
}

/// A decimal number as an integer of its last digit.
struct Decimal {
  int64_t units = 0;
  size_t digits = 0;  // after the point
};

Decimal decimal(std::string_view text, const std::string& name) {
  const size_t point = text.find('.');
  std::string figures(text.substr(0, point));
  Decimal d;
  if (point != text.npos) {
    figures += text.substr(point + 1);
    d.digits = text.size() - point - 1;
  }
  const auto [end, error] =
      std::from_chars(figures.data(), figures.data() + figures.size(), d.units);
  check(error == std::errc() && end == figures.data() + figures.size() && d.digits <= kMostDigits &&
            std::abs(d.units) <= INT64_C(1'000'000'000'000'000'000),
        "parameter ", name, ": '", text, "', wanted a decimal number, of at most ", kMostDigits,
        " digits after the point");
  return d;
}

int64_t scaled(Decimal d, size_t digits, const std::string& name) {
  for (; d.digits < digits; ++d.digits) {
    check(std::abs(d.units) < INT64_MAX / 20, "parameter ", name, ": a number is too large");
    d.units *= 10;
  }
  return d.units;
}

std::string written(int64_t units, size_t digits) {
  std::string text = std::to_string(std::abs(units));
  if (digits > 0) {
    if (text.size() <= digits) text.insert(0, digits + 1 - text.size(), '0');
    text.insert(text.size() - digits, ".");
  }
  return (units < 0 ? "-" : "") + text;
}

std::string with_values(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string out;
  while (true) {
    const size_t open = text.find('{');
    out += text.substr(0, open);
    if (open == text.npos) return out;
    text.remove_prefix(open);
    const size_t close = text.find('}');
    const auto it =
        close == text.npos ? values.end() : values.find(std::string(text.substr(1, close - 1)));
    if (it == values.end()) {  // a brace of the command's own
      out += '{';
      text.remove_prefix(1);
    } else {
      out += it->second;
      text.remove_prefix(close + 1);
    }
  }
}

}  // namespace

Parameter parameter_list(const std::string& name, std::string_view values) {
  check_name(name);
  Parameter p{name, {""}};
  for (size_t i = 0; i < values.size(); ++i) {
    const bool escaped = values[i] == '\\' && i + 1 < values.size() &&
                         (values[i + 1] == ',' || values[i + 1] == '\\');
    if (escaped)
      p.values.back() += values[++i];
    else if (values[i] == ',')
      p.values.emplace_back();
    else
      p.values.back() += values[i];
  }
  check(p.values.size() <= kMostValues, "parameter ", name, ": ", p.values.size(),
        " values; wanted at most ", kMostValues);
  return p;
}

Parameter parameter_scan(const std::string& name, std::string_view first, std::string_view last,
                         std::string_view step) {
  check_name(name);
  const Decimal from = decimal(first, name), to = decimal(last, name), by = decimal(step, name);
  const size_t digits = std::max({from.digits, to.digits, by.digits});
  const int64_t begin = scaled(from, digits, name), end = scaled(to, digits, name),
                each = scaled(by, digits, name);
  check(each > 0, "parameter ", name, ": the step is ", step, ", wanted more than 0");
  check(begin <= end, "parameter ", name, ": the range from ", first, " to ", last, " is empty");
  // As unsigned numbers, since the two ends may be further apart than half of all integers.
  const uint64_t steps = (uint64_t(end) - uint64_t(begin)) / uint64_t(each);
  check(steps < kMostValues, "parameter ", name, ": more than ", kMostValues, " values");
  // As hyperfine: what is written follows the first number and the step.
  const size_t shown = std::max(from.digits, by.digits);
  int64_t cut = 1;
  for (size_t i = shown; i < digits; ++i) cut *= 10;
  Parameter p{name, {}};
  for (uint64_t i = 0; i <= steps; ++i)
    p.values.push_back(written((begin + int64_t(i) * each) / cut, shown));
  return p;
}

std::vector<Command> expand(const std::vector<Command>& commands,
                            const std::vector<Parameter>& parameters) {
  size_t combinations = 1;
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (size_t k = 0; k < i; ++k)
      check(parameters[k].name != parameters[i].name, "the parameter ", parameters[i].name,
            " stands twice");
    combinations *= parameters[i].values.size();
    check(combinations * std::max<size_t>(commands.size(), 1) <= kMostCommands, "more than ",
          kMostCommands, " commands");
  }
  std::vector<Command> all;
  for (size_t n = 0; n < combinations; ++n) {
    std::map<std::string, std::string> values;
    size_t rest = n;
    for (const Parameter& p : parameters) {
      values[p.name] = p.values[rest % p.values.size()];
      rest /= p.values.size();
    }
    for (Command command : commands) {
      command.parameters = values;
      for (std::string* text : {&command.name, &command.text, &command.setup, &command.prepare,
                                &command.conclude, &command.cleanup, &command.output})
        *text = with_values(*text, values);
      all.push_back(std::move(command));
    }
  }
  return all;
}

}  // namespace hearth::lab
