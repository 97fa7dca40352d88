// The operations of the lab's jobs, as hearth does them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "hearth/core/array.h"

namespace hearth::lab {

struct Operation {
  Arrays in;
  std::function<array(const Arrays&)> run;
};

/// By the names and sizes of docs/engines.md. Throws std::runtime_error for others.
Operation operation(const std::string& name, Dtype dtype, const std::vector<int>& sizes);

}  // namespace hearth::lab
