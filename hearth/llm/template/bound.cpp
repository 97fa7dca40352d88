#include "hearth/llm/template/bound.h"

#include <algorithm>

#include "hearth/llm/template/fail.h"

namespace hearth::llm::jinja {

Bound::Bound(std::string_view function, const Args& args,
             std::initializer_list<std::string_view> parameters, size_t required)
    : function_(function), given_(parameters.size()) {
  if (args.values.size() > parameters.size())
    fail(function, "() takes at most ", parameters.size(), " arguments (", args.values.size(),
         " given)");
  for (size_t i = 0; i < args.values.size(); ++i) given_[i] = &args.values[i];
  for (const auto& [name, value] : args.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end())
      fail(function, "() got an unexpected keyword argument '", name, "'");
    const size_t i = size_t(at - parameters.begin());
    if (given_[i]) fail(function, "() got multiple values for argument '", name, "'");
    given_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i)
    if (!given_[i])
      fail(function, "() missing 1 required argument: '", *(parameters.begin() + i), "'");
}

int64_t Bound::integer(size_t i, int64_t otherwise) const {
  return given_[i] && !given_[i]->is<None>() ? integer_of(*given_[i], function_) : otherwise;
}
bool Bound::flag(size_t i, bool otherwise) const {
  return given_[i] ? truth(*given_[i]) : otherwise;
}
const Text* Bound::text(size_t i) const {
  return given_[i] && !given_[i]->is<None>() ? &text_of(*given_[i], function_) : nullptr;
}

}  // namespace hearth::llm::jinja
