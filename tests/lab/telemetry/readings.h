// The readings of a source of telemetry by their names.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "hearth/lab/telemetry/sources.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

struct Readings {
  std::map<std::string, lab::Reading<double>> by_name;

  /// NaN if it is missing or no field has that name.
  double operator[](const std::string& name) const {
    const auto found = by_name.find(name);
    EXPECT_NE(found, by_name.end()) << "no field " << name;
    if (found == by_name.end() || !found->second.value) return std::nan("");
    return *found->second.value;
  }
  std::string why(const std::string& name) const {
    const auto found = by_name.find(name);
    EXPECT_NE(found, by_name.end()) << "no field " << name;
    if (found == by_name.end()) return "";
    EXPECT_FALSE(found->second.value) << name << " is " << *found->second.value;
    return found->second.reason;
  }
};

inline Readings read(lab::Telemetry& source, double now) {
  const auto values = source.sample(now);
  EXPECT_EQ(values.size(), source.fields().size());
  Readings readings;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(values[i].value || !values[i].reason.empty()) << source.fields()[i].name;
    EXPECT_TRUE(std::isfinite(values[i].value.value_or(0))) << source.fields()[i].name;
    readings.by_name.emplace(source.fields()[i].name, values[i]);
  }
  return readings;
}

}  // namespace hearth::testing
