// What `loop` is inside of a for: where it stands, and what comes before and after.
#pragma once
#include <functional>

#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

class Loop {
 public:
  /// `recurse` renders the loop's body for other items: of a loop that is `recursive`.
  using Recurse = std::function<Value(const Value& items, int depth)>;
  Loop(Value over, int depth0, Recurse recurse = {});

  std::optional<Value> next();
  int64_t index0() const { return index0_; }
  int64_t length();
  /// loop.NAME; nothing if there is no such attribute.
  std::optional<Value> attribute(const std::shared_ptr<Loop>& self, std::string_view name);
  Value call(Args& args);
  /// Lets go of all that it holds, when the loop has ended.
  void end();

 private:
  const std::optional<Value>& peek();

  std::optional<size_t> size_;
  Iterator from_;
  int64_t index0_ = -1;
  bool peeked_ = false;
  std::optional<Value> before_, current_, after_, changed_;
  int depth0_;
  Recurse recurse_;
};

}  // namespace hearth::llm::jinja
