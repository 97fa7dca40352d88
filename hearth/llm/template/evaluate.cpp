// Expressions.
#include <fmt/format.h>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/interpreter.h"
#include "hearth/llm/template/loop.h"

namespace hearth::llm::jinja {

Value Interpreter::name(const std::string& name, const ScopeRef& scope) {
  for (const Scope* s = scope.get(); s; s = s->parent.get())
    if (const auto at = s->names.find(name); at != s->names.end()) return at->second;
  return Value::undefined(concat("'", name, "' is undefined"));
}

Value Interpreter::evaluate(const Expr& e, const ScopeRef& scope) {
  const Deeper deeper(*this);
  line_ = e.line;
  switch (e.kind) {
    case Expr::Kind::constant: return e.value;
    case Expr::Kind::name: return name(e.name, scope);
    case Expr::Kind::attribute: {
      const Value object = evaluate(*e.parts[0], scope);
      line_ = e.line;
      return attribute(object, e.name);
    }
    case Expr::Kind::item: return evaluate_item(e, scope);
    case Expr::Kind::call: return evaluate_call(e, scope);
    case Expr::Kind::filter: return filtered(e, Value(), scope);
    case Expr::Kind::choice:
      if (truth(evaluate(*e.parts[0], scope))) return evaluate(*e.parts[1], scope);
      if (e.parts.size() > 2) return evaluate(*e.parts[2], scope);
      return Value::undefined(concat("the inline if-expression on line ", e.line,
                                     " evaluated to false and no else section was defined."));
    case Expr::Kind::both: {
      Value left = evaluate(*e.parts[0], scope);
      return truth(left) ? evaluate(*e.parts[1], scope) : left;
    }
    case Expr::Kind::either: {
      Value left = evaluate(*e.parts[0], scope);
      return truth(left) ? left : evaluate(*e.parts[1], scope);
    }
    case Expr::Kind::list:
    case Expr::Kind::tuple:
    case Expr::Kind::dict:
    case Expr::Kind::concat: return evaluate_group(e, scope);
    default: return evaluate_operator(e, scope);
  }
}

Value Interpreter::evaluate_operator(const Expr& e, const ScopeRef& scope) {
  if (e.kind == Expr::Kind::compare) return compare(e, scope);
  if (e.kind == Expr::Kind::slice) fail("a slice is not a value");
  const Value a = evaluate(*e.parts[0], scope);
  if (e.kind == Expr::Kind::test) {
    Args args = arguments(e, scope);
    line_ = e.line;
    return Value(test(e.name, a, args));
  }
  if (e.kind == Expr::Kind::negation) return Value(!truth(a));
  if (e.kind == Expr::Kind::binary) {
    const Value b = evaluate(*e.parts[1], scope);
    line_ = e.line;
    return binary(*this, e.name, a, b);
  }
  line_ = e.line;
  if (!is_number(a)) {
    if (const auto* u = a.get<Undefined>()) fail(*u->why);
    fail("bad operand type for unary ", e.kind == Expr::Kind::minus ? "-" : "+", ": '",
         type_name(a), "'");
  }
  if (e.kind == Expr::Kind::minus) return negative(a);
  return a.is<bool>() ? Value(int64_t(*a.get<bool>())) : a;
}

Value Interpreter::evaluate_group(const Expr& e, const ScopeRef& scope) {
  charge(e.parts.size() * sizeof(Value));
  if (e.kind == Expr::Kind::dict) {
    auto dict = std::make_shared<Dict>();
    for (size_t i = 0; i < e.parts.size(); i += 2) {
      const Value key = evaluate(*e.parts[i], scope);
      dict->set(key, evaluate(*e.parts[i + 1], scope));
    }
    return Value(std::shared_ptr<const Dict>(std::move(dict)));
  }
  if (e.kind == Expr::Kind::concat) {
    Text text;
    for (const auto& part : e.parts) {
      const Text one = str(evaluate(*part, scope));
      charge(one.size());
      text.append(one);
    }
    return Value(std::move(text));
  }
  Values items;
  for (const auto& part : e.parts) items.push_back(evaluate(*part, scope));
  return e.kind == Expr::Kind::list ? Value::list(std::move(items))
                                    : Value::tuple(std::move(items));
}

Value Interpreter::compare(const Expr& e, const ScopeRef& scope) {
  Value left = evaluate(*e.parts[0], scope);
  for (size_t i = 0; i < e.signs.size(); ++i) {
    Value right = evaluate(*e.parts[i + 1], scope);
    line_ = e.line;
    const std::string& sign = e.signs[i];
    charge((left.is<String>() ? left.get<String>()->text.size() / 16 : 0) +
           (left.is<List>() ? left.get<List>()->items.size() : 0));
    bool holds = false;
    if (sign == "==")
      holds = equal(left, right);
    else if (sign == "!=")
      holds = !equal(left, right);
    else if (sign == "in")
      holds = contains(*this, right, left);
    else if (sign == "not in")
      holds = !contains(*this, right, left);
    else
      holds = ordered(sign, left, right);
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate_item(const Expr& e, const ScopeRef& scope) {
  const Value object = evaluate(*e.parts[0], scope);
  const Expr& key = *e.parts[1];
  if (key.kind != Expr::Kind::slice) {
    const Value index = evaluate(key, scope);
    line_ = e.line;
    return item(object, index);
  }
  Value range[3];
  for (size_t i = 0; i < 3; ++i)
    if (key.parts[i]) range[i] = evaluate(*key.parts[i], scope);
  line_ = e.line;
  return slice(*this, object, range[0], range[1], range[2]);
}

Args Interpreter::arguments(const Expr& e, const ScopeRef& scope) {
  Args args;
  for (const auto& value : e.arguments) args.values.push_back(evaluate(*value, scope));
  if (e.more)
    for (Value& value : items_of(*this, evaluate(*e.more, scope)))
      args.values.push_back(std::move(value));
  for (const auto& [name, value] : e.named) args.named.emplace_back(name, evaluate(*value, scope));
  if (e.more_named) {
    const Value more = evaluate(*e.more_named, scope);
    const auto* dict = more.get<Dict>();
    if (!dict) fail("argument after ** must be a mapping, not ", type_name(more));
    for (const auto& [key, value] : dict->items()) {
      const std::string& name = text_of(key, "keywords").str();
      for (const auto& [other, given] : args.named)
        if (other == name) fail("got multiple values for keyword argument '", name, "'");
      charge(sizeof(Value) * (args.named.size() + 1));
      args.named.emplace_back(name, value);
    }
  }
  return args;
}

Value Interpreter::evaluate_call(const Expr& e, const ScopeRef& scope) {
  const Value function = evaluate(*e.parts[0], scope);
  Args args = arguments(e, scope);
  line_ = e.line;
  return call(function, args);
}

Value Interpreter::call(const Value& function, Args& args) {
  if (const auto* callable = function.get<Callable>()) {
    const Deeper deeper(*this);
    return callable->call(*this, args);
  }
  if (const auto* loop = function.get<Loop>()) return const_cast<Loop*>(loop)->call(args);
  if (const auto* u = function.get<Undefined>()) fail(*u->why);
  fail("'", type_name(function), "' object is not callable");
}

// The filters of one expression, or of a block (whose innermost has no part).
Value Interpreter::filtered(const Expr& e, Value input, const ScopeRef& scope) {
  Value value;
  if (e.parts.empty())
    value = std::move(input);
  else if (e.parts[0]->kind == Expr::Kind::filter)
    value = filtered(*e.parts[0], std::move(input), scope);
  else
    value = evaluate(*e.parts[0], scope);
  const Deeper deeper(*this);
  Args args = arguments(e, scope);
  line_ = e.line;
  return filter(e.name, value, args);
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  if (const auto* u = object.get<Undefined>()) fail(*u->why);
  if (name.starts_with("__") || changes(object, name))
    return Value::undefined(
        concat("access to attribute '", name, "' of '", type_name(object), "' object is unsafe."));
  if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&object.any()))
    if (auto value = (*loop)->attribute(*loop, name)) return *value;
  if (auto method = method_of(object, name)) return *method;
  if (const auto* dict = object.get<Dict>())
    if (const Value* value = dict->find(name)) return *value;
  return Value::undefined(concat(object_name(object), " has no attribute '", name, "'"));
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (const auto* u = object.get<Undefined>()) fail(*u->why);
  if (const auto* dict = object.get<Dict>()) {
    if (const Value* value = dict->find(key)) return *value;
  } else if (is_integer(key) && !key.is<Integer>()) {
    int64_t at = integer_of(key, "index");
    if (const auto* s = object.get<String>()) {
      charge(s->text.size() / 16);
      const int64_t n = int64_t(length(s->text.str()));
      if (at < 0) at += n;
      if (at >= 0 && at < n) {
        const size_t begin = byte_of(s->text.str(), size_t(at));
        size_t end = begin;
        next_character(s->text.str(), end);
        return Value(s->text.slice(begin, end));
      }
    } else if (const auto* list = object.get<List>()) {
      if (at < 0) at += int64_t(list->items.size());
      if (at >= 0 && at < int64_t(list->items.size())) return list->items[size_t(at)];
    } else if (const auto* range = object.get<Range>()) {
      if (at < 0) at += range->size();
      if (at >= 0 && at < range->size()) return Value(range->start + at * range->step);
    }
  }
  if (const auto* name = key.get<String>()) {
    if (!object.is<Dict>()) return attribute(object, name->text.str());
    if (changes(object, name->text.str()) || name->text.str().starts_with("__"))
      return attribute(object, name->text.str());
    if (auto method = method_of(object, name->text.str())) return *method;
    return Value::undefined(
        concat(object_name(object), " has no attribute '", name->text.str(), "'"));
  }
  std::string shown = object_name(object);
  shown = shown.substr(1, shown.size() - 2);
  return Value::undefined(concat(shown, " has no element ", repr(key).str()));
}

}  // namespace hearth::llm::jinja
