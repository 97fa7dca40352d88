#include "hearth/llm/template/expression_parser.h"

#include <algorithm>

#include "hearth/base/error.h"

namespace hearth::llm::jinja {

using Kind = Token::Kind;

namespace {

// A long chain (a + b + c ...) is a deep tree, which evaluation walks down.
constexpr int kLongestChain = 400;

std::string described(const Token& token) {
  switch (token.kind) {
    case Kind::data: return "template data / text";
    case Kind::block_begin: return "begin of statement block";
    case Kind::block_end: return "end of statement block";
    case Kind::print_begin: return "begin of print statement";
    case Kind::print_end: return "end of print statement";
    case Kind::end: return "end of template";
    case Kind::text: return "string";
    case Kind::number: return "number";
    default: return token.text;
  }
}

}  // namespace

const Token& ExpressionParser::expect(Kind kind, std::string_view what) {
  if (now().kind != kind)
    fail(now().kind == Kind::end
             ? concat("unexpected end of template, expected '", what, "'.")
             : concat("expected token '", what, "', got '", described(now()), "'"));
  return take();
}
void ExpressionParser::expect_sign(std::string_view s) {
  if (!is_sign(s)) fail(concat("expected token '", s, "', got '", described(now()), "'"));
  take();
}
void ExpressionParser::expect_name(std::string_view s) {
  if (!is_name(s)) fail(concat("expected token '", s, "', got '", described(now()), "'"));
  take();
}

ExprRef ExpressionParser::make(Expr::Kind kind, int line, ExprRef a, ExprRef b, ExprRef c) {
  auto e = std::make_unique<Expr>(Expr{kind, line});
  for (ExprRef* part : {&a, &b, &c})
    if (*part) e->parts.push_back(std::move(*part));
  return e;
}

ExprRef ExpressionParser::expression(bool with_choice) {
  const Nested nested(*this);
  return with_choice ? choice() : either();
}

ExprRef ExpressionParser::choice() {
  int line = now().line;
  ExprRef value = either();
  for (int n = 0; skip_name("if"); ++n) {
    if (n > kLongestChain) fail("too many conditions in one expression");
    ExprRef test = either();
    ExprRef otherwise;
    if (skip_name("else")) otherwise = expression();
    value = make(Expr::Kind::choice, line, std::move(test), std::move(value), std::move(otherwise));
    line = now().line;
  }
  return value;
}

ExprRef ExpressionParser::chain(Rule operand, std::initializer_list<std::string_view> signs) {
  int line = now().line;
  ExprRef left = (this->*operand)();
  for (int n = 0;; ++n) {
    const auto sign = std::find_if(signs.begin(), signs.end(), [&](std::string_view s) {
      return s == "or" || s == "and" ? is_name(s) : is_sign(s);
    });
    if (sign == signs.end()) return left;
    if (n > kLongestChain) fail(concat("more than ", kLongestChain, " '", *sign, "' in a row"));
    const std::string name = take().text;
    ExprRef right = (this->*operand)();
    auto both = std::make_unique<Expr>(Expr{name == "or"    ? Expr::Kind::either
                                            : name == "and" ? Expr::Kind::both
                                                            : Expr::Kind::binary,
                                            line, name});
    both->parts.push_back(std::move(left));
    both->parts.push_back(std::move(right));
    left = std::move(both);
    line = now().line;
  }
}

ExprRef ExpressionParser::either() { return chain(&ExpressionParser::both, {"or"}); }
ExprRef ExpressionParser::both() { return chain(&ExpressionParser::negation, {"and"}); }

ExprRef ExpressionParser::negation() {
  if (!is_name("not")) return compare();
  const Nested nested(*this);
  const int line = take().line;
  return make(Expr::Kind::negation, line, negation());
}

bool ExpressionParser::compares(std::string& sign) {
  if (is_name("not") && ahead().kind == Kind::name && ahead().text == "in") {
    take(), take();
    sign = "not in";
    return true;
  }
  if (!is_name("in") && !is_sign("==") && !is_sign("!=") && !is_sign("<") && !is_sign("<=") &&
      !is_sign(">") && !is_sign(">="))
    return false;
  sign = take().text;
  return true;
}

ExprRef ExpressionParser::compare() {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::compare, now().line});
  e->parts.push_back(sum());
  for (std::string sign; compares(sign);) {
    e->signs.push_back(sign);
    e->parts.push_back(sum());
  }
  if (e->signs.empty()) return std::move(e->parts[0]);
  return e;
}

ExprRef ExpressionParser::sum() { return chain(&ExpressionParser::concatenation, {"+", "-"}); }

ExprRef ExpressionParser::concatenation() {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::concat, now().line});
  e->parts.push_back(product());
  while (skip_sign("~")) e->parts.push_back(product());
  if (e->parts.size() == 1) return std::move(e->parts[0]);
  return e;
}

ExprRef ExpressionParser::product() {
  return chain(&ExpressionParser::power, {"*", "/", "//", "%"});
}
ExprRef ExpressionParser::power() { return chain(&ExpressionParser::unary, {"**"}); }

ExprRef ExpressionParser::unary(bool with_filters) {
  const int line = now().line;
  ExprRef e;
  if (is_sign("-") || is_sign("+")) {
    const Nested nested(*this);
    const auto kind = take().text == "-" ? Expr::Kind::minus : Expr::Kind::plus;
    e = make(kind, line, unary(false));
  } else {
    e = primary();
  }
  e = postfix(std::move(e));
  for (int n = 0; with_filters; ++n) {
    if (n > kLongestChain) fail("too many filters and tests in a row");
    if (is_sign("|"))
      e = filters(std::move(e));
    else if (is_name("is"))
      e = test(std::move(e));
    else if (is_sign("("))
      e = postfix(std::move(e));
    else
      break;
  }
  return e;
}

ExprRef ExpressionParser::primary() {
  const Token& token = now();
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::constant, token.line});
  if (token.kind == Kind::name) {
    const std::string& name = take().text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      e->value = Value(name == "true" || name == "True");
    } else if (name != "none" && name != "None") {
      e->kind = Expr::Kind::name;
      e->name = name;
      if (name == "caller") seen_.caller = true;
      if (name == "kwargs") seen_.kwargs = true;
      if (name == "varargs") seen_.varargs = true;
    }
    return e;
  }
  if (token.kind == Kind::text) {
    std::string text;
    while (now().kind == Kind::text) text += take().text;  // "a" "b" is one
    e->value = Value(Text(std::move(text)));
    return e;
  }
  if (token.kind == Kind::number) {
    e->value = take().value;
    return e;
  }
  if (skip_sign("(")) {
    ExprRef inner = tuple(true, {}, true);
    expect_sign(")");
    return inner;
  }
  if (is_sign("[")) return list();
  if (is_sign("{")) return dict();
  fail(concat("unexpected '", described(token), "'"));
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  return now().kind == Kind::print_end || now().kind == Kind::block_end || is_sign(")") ||
         (!end.empty() && is_name(end));
}

ExprRef ExpressionParser::tuple(bool with_choice, std::string_view end, bool may_be_empty) {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::tuple, now().line});
  bool commas = false;
  for (;;) {
    if (!e->parts.empty()) expect_sign(",");
    if (at_tuple_end(end)) break;
    e->parts.push_back(expression(with_choice));
    if (!is_sign(",")) break;
    commas = true;
  }
  if (!commas && !e->parts.empty()) return std::move(e->parts[0]);
  if (!commas && !may_be_empty)
    fail(concat("Expected an expression, got '", described(now()), "'"));
  return e;
}

ExprRef ExpressionParser::list() {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::list, take().line});
  while (!is_sign("]")) {
    if (!e->parts.empty()) expect_sign(",");
    if (is_sign("]")) break;
    e->parts.push_back(expression());
  }
  expect_sign("]");
  return e;
}

ExprRef ExpressionParser::dict() {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::dict, take().line});
  while (!is_sign("}")) {
    if (!e->parts.empty()) expect_sign(",");
    if (is_sign("}")) break;
    e->parts.push_back(expression());
    expect_sign(":");
    e->parts.push_back(expression());
  }
  expect_sign("}");
  return e;
}

ExprRef ExpressionParser::postfix(ExprRef inner) {
  for (int n = 0;; ++n) {
    if (n > kLongestChain) fail("too many attributes, items and calls in a row");
    if (is_sign(".") || is_sign("[")) {
      inner = subscript(std::move(inner));
    } else if (is_sign("(")) {
      auto call = std::make_unique<Expr>(Expr{Expr::Kind::call, now().line});
      call->parts.push_back(std::move(inner));
      arguments(*call);
      inner = std::move(call);
    } else {
      return inner;
    }
  }
}

ExprRef ExpressionParser::subscript(ExprRef inner) {
  const int line = now().line;
  if (take().text == ".") {
    const Token& token = take();
    auto e = std::make_unique<Expr>(Expr{Expr::Kind::attribute, line, token.text});
    e->parts.push_back(std::move(inner));
    if (token.kind == Kind::name) return e;
    if (token.kind != Kind::number || !is_integer(token.value)) fail("expected name or number");
    e->kind = Expr::Kind::item;
    auto index = std::make_unique<Expr>(Expr{Expr::Kind::constant, line});
    index->value = token.value;
    e->parts.push_back(std::move(index));
    return e;
  }
  std::vector<ExprRef> indices;
  while (!is_sign("]")) {
    if (!indices.empty()) expect_sign(",");
    indices.push_back(subscripted());
  }
  take();
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::item, line});
  e->parts.push_back(std::move(inner));
  if (indices.size() == 1) {
    e->parts.push_back(std::move(indices[0]));
  } else {
    auto all = std::make_unique<Expr>(Expr{Expr::Kind::tuple, line});
    all->parts = std::move(indices);
    e->parts.push_back(std::move(all));
  }
  return e;
}

// What stands in brackets: an expression, or begin:end:step with any of them left out.
ExprRef ExpressionParser::subscripted() {
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::slice, now().line});
  ExprRef first;
  if (!is_sign(":")) {
    first = expression();
    if (!is_sign(":")) return first;
  }
  e->parts.push_back(std::move(first));
  for (int i = 0; i < 2; ++i) {
    ExprRef part;
    if (skip_sign(":") && !is_sign(":") && !is_sign("]") && !is_sign(",")) part = expression();
    e->parts.push_back(std::move(part));
  }
  return e;
}

void ExpressionParser::arguments(Expr& to) {
  expect_sign("(");
  const auto in_order = [&](bool ok) {
    if (!ok) fail("invalid syntax for function call expression");
  };
  for (bool first = true; !is_sign(")"); first = false) {
    if (!first) {
      expect_sign(",");
      if (is_sign(")")) break;
    }
    if (skip_sign("*")) {
      in_order(!to.more && !to.more_named);
      to.more = expression();
    } else if (skip_sign("**")) {
      in_order(!to.more_named);
      to.more_named = expression();
    } else if (now().kind == Kind::name && ahead().kind == Kind::sign && ahead().text == "=") {
      in_order(!to.more_named);
      const std::string name = take().text;
      take();
      for (const auto& [other, value] : to.named)
        if (other == name) fail(concat("keyword argument repeated: ", name));
      to.named.emplace_back(name, expression());
    } else {
      in_order(!to.more && !to.more_named && to.named.empty());
      to.arguments.push_back(expression());
    }
  }
  take();
}

ExprRef ExpressionParser::filters(ExprRef inner, bool first) {
  for (int n = 0; first || is_sign("|"); ++n, first = false) {
    if (n > kLongestChain) fail("too many filters in a row");
    if (!first) take();
    const int line = now().line;
    auto e =
        std::make_unique<Expr>(Expr{Expr::Kind::filter, line, expect(Kind::name, "name").text});
    while (skip_sign(".")) e->name += "." + expect(Kind::name, "name").text;
    if (inner) e->parts.push_back(std::move(inner));
    if (is_sign("(")) arguments(*e);
    inner = std::move(e);
  }
  return inner;
}

ExprRef ExpressionParser::test(ExprRef inner) {
  const int line = take().line;
  const bool negated = skip_name("not");
  auto e = std::make_unique<Expr>(Expr{Expr::Kind::test, line, expect(Kind::name, "name").text});
  while (skip_sign(".")) e->name += "." + expect(Kind::name, "name").text;
  e->parts.push_back(std::move(inner));
  const bool word =
      now().kind == Kind::name && !is_name("else") && !is_name("or") && !is_name("and");
  if (is_sign("(")) {
    arguments(*e);
  } else if (word || now().kind == Kind::text || now().kind == Kind::number || is_sign("[") ||
             is_sign("{")) {
    if (is_name("is")) fail("You cannot chain multiple tests with is");
    e->arguments.push_back(postfix(primary()));
  }
  if (!negated) return e;
  return make(Expr::Kind::negation, line, std::move(e));
}

std::string ExpressionParser::name_to_set() {
  const Token& token = now();
  const std::string name = expect(Kind::name, "name").text;
  for (const char* fixed : {"true", "false", "none", "True", "False", "None"})
    if (name == fixed) throw SyntaxError(concat("can't assign to '", name, "'"), token.line);
  return name;
}

Target ExpressionParser::target(bool with_attributes, std::string_view end) {
  const Nested nested(*this);
  Target all{Target::Kind::tuple, now().line, {}, {}, {}};
  bool commas = false;
  for (;;) {
    if (!all.parts.empty()) expect_sign(",");
    if (at_tuple_end(end) || is_sign("=")) break;
    if (skip_sign("(")) {
      all.parts.push_back(target(with_attributes));
      expect_sign(")");
    } else {
      Target one{Target::Kind::name, now().line, name_to_set(), {}, {}};
      if (with_attributes && skip_sign(".")) {
        one.kind = Target::Kind::attribute;
        one.attribute = expect(Kind::name, "name").text;
      }
      all.parts.push_back(std::move(one));
    }
    if (!is_sign(",")) break;
    commas = true;
  }
  if (commas) return all;
  if (all.parts.empty()) fail(concat("Expected a name, got '", described(now()), "'"));
  return std::move(all.parts[0]);
}

}  // namespace hearth::llm::jinja
