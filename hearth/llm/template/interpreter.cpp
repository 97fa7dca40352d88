// Statements.
#include "hearth/llm/template/interpreter.h"

#include <fmt/format.h>

#include "hearth/llm/template/fail.h"
#include "hearth/llm/template/loop.h"

namespace hearth::llm::jinja {

namespace {

// A million tokens of text, copied fifty times, are within it; so are 5 million steps.
constexpr uint64_t kMostWork = uint64_t(1) << 28;
constexpr size_t kMostOutput = size_t(1) << 26;
constexpr uint64_t kStep = 48;    // of one expression or statement
constexpr int kMostCalls = 1500;  // expressions and statements inside of one another

}  // namespace

Interpreter::Deeper::Deeper(Interpreter& interpreter) : in(interpreter) {
  in.charge(kStep);
  if (in.depth_ >= kMostCalls)
    fail("maximum recursion depth exceeded: does a macro call itself without an end?");
  ++in.depth_;
}

Interpreter::Interpreter(const Dict& variables, const std::tm& now)
    : now_(now), variables_(std::make_shared<Scope>()) {
  variables_->parent = std::make_shared<Scope>();
  variables_->parent->names = functions();
  for (const auto& [name, value] : variables.items())
    variables_->names.emplace(text_of(name, "variables").str(), value);
}

Interpreter::~Interpreter() {
  for (const auto& space : spaces_) space->attributes.clear();
  for (const auto& scope : scopes_) scope->names.clear();
}

void Interpreter::charge(uint64_t bytes) {
  work_ += bytes;
  if (work_ > kMostWork || bytes > kMostWork)
    fail("it does more work than any conversation needs; does it loop forever?");
}

void Interpreter::keep(std::shared_ptr<Namespace> space) {
  charge(sizeof(Namespace));
  spaces_.push_back(std::move(space));
}

Text Interpreter::run(const Body& body) {
  Text out;
  execute(body, inner(variables_), out);
  return out;
}

ScopeRef Interpreter::inner(const ScopeRef& scope) {
  charge(sizeof(Scope));
  return std::make_shared<Scope>(Scope{scope, {}});
}

void Interpreter::print(Text& out, const Text& text) {
  charge(text.size());
  if (out.size() + text.size() > kMostOutput)
    fail("it prints more than ", kMostOutput >> 20, " MiB");
  out.append(text);
}

Text Interpreter::text_of_block(const Body& body, const ScopeRef& scope) {
  Text text;
  execute(body, inner(scope), text);
  return text;
}

Interpreter::Flow Interpreter::execute(const Body& body, const ScopeRef& scope, Text& out) {
  const Deeper deeper(*this);
  for (const Stmt& s : body)
    if (const Flow flow = execute(s, scope, out); flow != Flow::on) return flow;
  return Flow::on;
}

Interpreter::Flow Interpreter::execute(const Stmt& s, const ScopeRef& scope, Text& out) {
  line_ = s.line;
  charge(kStep);
  using Kind = Stmt::Kind;
  switch (s.kind) {
    case Kind::data: print(out, Text(s.text)); return Flow::on;
    case Kind::print: print(out, str(evaluate(*s.value, scope))); return Flow::on;
    case Kind::loop: loop(s, scope, out); return Flow::on;
    case Kind::branch: return branch(&s, scope, out);
    case Kind::set: assign(s.target, evaluate(*s.value, scope), scope); return Flow::on;
    case Kind::set_block: {
      Value value(text_of_block(*s.body, scope));
      if (s.value) value = filtered(*s.value, std::move(value), scope);
      assign(s.target, value, scope);
      return Flow::on;
    }
    case Kind::macro:
      scope->names.insert_or_assign(s.text, macro(s, scope, s.text));
      return Flow::on;
    case Kind::call: call_block(s, scope, out); return Flow::on;
    case Kind::filter:
      print(out, str(filtered(*s.value, Value(text_of_block(*s.body, scope)), scope)));
      return Flow::on;
    case Kind::with: {
      const ScopeRef own = inner(scope);
      for (const auto& [target, value] : s.with) assign(target, evaluate(*value, scope), own);
      return execute(*s.body, own, out);
    }
    case Kind::scope: return execute(*s.body, inner(scope), out);
    case Kind::leave: return Flow::leave;
    case Kind::next: return Flow::next;
    case Kind::unsupported:
      fail("'", s.text, "' reads another template, which a chat template does not have");
  }
  return Flow::on;
}

// if and its elifs, which are each in the otherwise of the one before.
Interpreter::Flow Interpreter::branch(const Stmt* s, const ScopeRef& scope, Text& out) {
  for (;;) {
    line_ = s->line;
    if (truth(evaluate(*s->value, scope))) return execute(*s->body, scope, out);
    if (!s->otherwise) return Flow::on;
    const Body& rest = *s->otherwise;
    if (rest.size() != 1 || rest[0].kind != Stmt::Kind::branch) return execute(rest, scope, out);
    s = &rest[0];
  }
}

void Interpreter::loop(const Stmt& s, const ScopeRef& scope, Text& out) {
  loop_over(s, evaluate(*s.value, scope), scope, 0, out);
}

// The items that pass the test, each asked for when it is needed.
Value Interpreter::selected(const Stmt& s, const Value& items, const ScopeRef& scope) {
  Iterator from = iterate(items);
  const int depth = from.depth;
  return Value(
      Iterator{[this, &s, scope, from = std::move(from)]() mutable -> std::optional<Value> {
                 while (auto item = from.next()) {
                   const ScopeRef own = inner(scope);
                   assign(s.target, *item, own);
                   if (truth(evaluate(*s.test, own))) return item;
                 }
                 return {};
               },
               "generator", depth});
}

void Interpreter::loop_over(const Stmt& s, const Value& items, const ScopeRef& scope, int depth0,
                            Text& out) {
  if (const auto* nothing = items.get<Undefined>(); nothing && s.recursive && depth0 > 0)
    fail(*nothing->why);
  Loop::Recurse recurse;
  if (s.recursive)
    recurse = [this, &s, scope](const Value& inner_items, int depth) {
      const Deeper deeper(*this);
      Text text;
      loop_over(s, inner_items, scope, depth, text);
      return Value(std::move(text));
    };
  const auto loop = std::make_shared<Loop>(s.test ? selected(s, items, scope) : items, depth0,
                                           std::move(recurse));
  struct End {
    Loop& loop;
    ~End() { loop.end(); }
  } const end{*loop};
  bool any = false;
  while (auto item = loop->next()) {
    any = true;
    const ScopeRef own = inner(scope);
    own->names.emplace("loop", Value(loop));
    assign(s.target, *item, own);
    if (execute(*s.body, own, out) == Flow::leave) break;
    line_ = s.line;
  }
  if (!any && s.otherwise) execute(*s.otherwise, inner(scope), out);
}

void Interpreter::call_block(const Stmt& s, const ScopeRef& scope, Text& out) {
  const Expr& call_of = *s.value;
  const Value function = evaluate(*call_of.parts[0], scope);
  Args args = arguments(call_of, scope);
  args.named.emplace_back("caller", macro(s, scope, ""));
  line_ = s.line;
  print(out, str(call(function, args)));
}

Value Interpreter::macro(const Stmt& s, const ScopeRef& scope, const std::string& name) {
  charge(sizeof(Callable));
  scopes_.push_back(scope);
  return Value(Callable{[&s, scope, name](Interpreter& in, Args& args) {
                          return in.call_macro(s, scope, name, args);
                        },
                        name.empty() ? "<Macro anonymous>" : fmt::format("<Macro '{}'>", name)});
}

Value Interpreter::call_macro(const Stmt& s, const ScopeRef& scope, const std::string& name,
                              Args& args) {
  const Signature& parameters = *s.signature;
  const size_t n = parameters.names.size();
  const ScopeRef own = inner(scope);
  const auto take_named = [&](const std::string& which) -> std::optional<Value> {
    for (auto at = args.named.begin(); at != args.named.end(); ++at)
      if (at->first == which) {
        Value value = at->second;
        args.named.erase(at);
        return value;
      }
    return {};
  };
  bool has_caller = false;
  for (size_t i = 0; i < n; ++i) {
    const std::string& parameter = parameters.names[i];
    has_caller |= parameter == "caller";
    std::optional<Value> value;
    if (i < args.values.size())
      value = args.values[i];
    else
      value = take_named(parameter);
    const size_t without = n - parameters.defaults.size();
    if (!value && i >= without) value = evaluate(*parameters.defaults[i - without], own);
    if (!value) value = Value::undefined(concat("parameter '", parameter, "' was not provided"));
    own->names.insert_or_assign(parameter, *std::move(value));
  }
  if (s.wants_caller && !has_caller) {
    auto caller = take_named("caller");
    own->names.insert_or_assign("caller", caller ? *caller : Value::undefined("No caller defined"));
  }
  if (s.wants_kwargs) {
    auto dict = std::make_shared<Dict>();
    for (auto& [key, value] : args.named) dict->set(key, value);
    own->names.insert_or_assign("kwargs", Value(std::shared_ptr<const Dict>(dict)));
  } else if (!args.named.empty()) {
    fail("macro '", name, "' takes no keyword argument '", args.named[0].first, "'");
  }
  if (s.wants_varargs) {
    Values rest;
    if (args.values.size() > n) rest.assign(args.values.begin() + long(n), args.values.end());
    own->names.insert_or_assign("varargs", Value::tuple(std::move(rest)));
  } else if (args.values.size() > n) {
    fail("macro '", name, "' takes not more than ", n, " argument(s)");
  }
  Text text;
  execute(*s.body, own, text);
  return Value(std::move(text));
}

void Interpreter::assign(const Target& to, const Value& value, const ScopeRef& scope) {
  if (to.kind == Target::Kind::name) {
    scope->names.insert_or_assign(to.name, value);
    return;
  }
  if (to.kind == Target::Kind::attribute) {
    const Value space = name(to.name, scope);
    const auto* held = std::get_if<std::shared_ptr<Namespace>>(&space.any());
    if (!held) fail("cannot assign attribute on non-namespace object");
    if (to.attribute.starts_with('_'))
      fail("Chat templates cannot store underscore-prefixed attributes on a namespace, but got '",
           to.attribute, "'. Please rename the attribute.");
    (*held)->attributes.set(to.attribute, value);
    return;
  }
  if (!iterable(value)) fail("cannot unpack non-iterable ", type_name(value), " object");
  Iterator from = iterate(value);
  for (size_t i = 0; i < to.parts.size(); ++i) {
    const auto item = from.next();
    if (!item) fail("not enough values to unpack (expected ", to.parts.size(), ", got ", i, ")");
    assign(to.parts[i], *item, scope);
  }
  if (from.next()) fail("too many values to unpack (expected ", to.parts.size(), ")");
}

}  // namespace hearth::llm::jinja
