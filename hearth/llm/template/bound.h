// The arguments of a call, given to named parameters as Python does.
#pragma once
#include <initializer_list>
#include <string_view>
#include <vector>

#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

class Bound {
 public:
  /// Throws for too many, for unknown names, for one given twice, and for fewer than `required`.
  Bound(std::string_view function, const Args& args,
        std::initializer_list<std::string_view> parameters, size_t required = 0);
  /// nullptr where it is not given.
  const Value* operator[](size_t i) const { return given_[i]; }
  const Value& value(size_t i, const Value& otherwise) const {
    return given_[i] ? *given_[i] : otherwise;
  }
  int64_t integer(size_t i, int64_t otherwise) const;
  bool flag(size_t i, bool otherwise) const;
  /// nullptr where it is not given or None.
  const Text* text(size_t i) const;

 private:
  std::string_view function_;
  std::vector<const Value*> given_;
};

}  // namespace hearth::llm::jinja
