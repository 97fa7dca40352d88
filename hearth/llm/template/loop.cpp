#include "hearth/llm/template/loop.h"

#include "hearth/llm/template/fail.h"

namespace hearth::llm::jinja {

Loop::Loop(Value over, int depth0, Recurse recurse)
    : size_(size_of(over)), from_(iterate(over)), depth0_(depth0), recurse_(std::move(recurse)) {}

const std::optional<Value>& Loop::peek() {
  if (!peeked_) after_ = from_.next();
  peeked_ = true;
  return after_;
}

std::optional<Value> Loop::next() {
  auto item = peek();
  peeked_ = false;
  after_.reset();
  if (!item) return {};
  ++index0_;
  before_ = std::exchange(current_, item);
  return item;
}

// A generator has no length: what it will give is taken from it and kept.
int64_t Loop::length() {
  if (size_) return int64_t(*size_);
  Values rest;
  if (peeked_ && after_) rest.push_back(*after_);
  peeked_ = false;
  while (auto item = from_.next()) rest.push_back(*std::move(item));
  size_ = size_t(index0_ + 1) + rest.size();
  from_ = iterate(Value::list(std::move(rest)));
  return int64_t(*size_);
}

std::optional<Value> Loop::attribute(const std::shared_ptr<Loop>& self, std::string_view name) {
  if (name == "index0") return Value(index0_);
  if (name == "index") return Value(index0_ + 1);
  if (name == "revindex0") return Value(length() - index0_ - 1);
  if (name == "revindex") return Value(length() - index0_);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") return Value(!peek().has_value());
  if (name == "length") return Value(length());
  if (name == "depth0") return Value(depth0_);
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "previtem")
    return index0_ == 0 || !before_ ? Value::undefined("there is no previous item") : *before_;
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("there is no next item");
  if (name == "cycle")
    return Value(Callable{[self](Interpreter&, Args& args) {
                            if (args.values.empty()) fail("no items for cycling given");
                            return args.values[size_t(self->index0_) % args.values.size()];
                          },
                          "<bound method LoopContext.cycle>"});
  if (name == "changed")
    return Value(Callable{[self](Interpreter&, Args& args) {
                            const Value now = Value::tuple(args.values);
                            const bool changed = !self->changed_ || !equal(*self->changed_, now);
                            self->changed_ = now;
                            return Value(changed);
                          },
                          "<bound method LoopContext.changed>"});
  return {};
}

Value Loop::call(Args& args) {
  if (!recurse_) fail("The loop must have the 'recursive' marker to be called recursively.");
  if (args.values.size() != 1 || !args.named.empty()) fail("loop() takes one argument: the items");
  return recurse_(args.values[0], depth0_ + 1);
}

void Loop::end() {
  from_ = {[] { return std::optional<Value>(); }};
  before_.reset(), current_.reset(), after_.reset(), changed_.reset();
  peeked_ = false;
  recurse_ = {};
}

}  // namespace hearth::llm::jinja
