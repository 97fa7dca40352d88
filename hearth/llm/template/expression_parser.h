// The expressions of a template, by Jinja2's precedence.
#pragma once
#include "hearth/llm/template/lexer.h"
#include "hearth/llm/template/parser.h"

namespace hearth::llm::jinja {

class ExpressionParser {
 protected:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // Tokens.
  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_sign(std::string_view s) const {
    return now().kind == Token::Kind::sign && now().text == s;
  }
  bool is_name(std::string_view s) const {
    return now().kind == Token::Kind::name && now().text == s;
  }
  bool skip_sign(std::string_view s) { return is_sign(s) && (take(), true); }
  bool skip_name(std::string_view s) { return is_name(s) && (take(), true); }
  const Token& expect(Token::Kind kind, std::string_view what);
  void expect_sign(std::string_view s);
  void expect_name(std::string_view s);
  [[noreturn]] void fail(const std::string& what) const { throw SyntaxError(what, now().line); }

  // Expressions.
  ExprRef expression(bool with_choice = true);
  /// One expression, or several with commas between: a tuple. Ends before the name `end` too.
  ExprRef tuple(bool with_choice = true, std::string_view end = {}, bool may_be_empty = false);
  /// |a|b(c) behind `inner`; `first`: the first one comes without a bar.
  ExprRef filters(ExprRef inner, bool first = false);
  Target target(bool with_attributes, std::string_view end = {});
  std::string name_to_set();

  /// Names that a macro takes only if its body asks for them.
  struct Seen {
    bool caller = false, kwargs = false, varargs = false;
  } seen_;

  /// While it lives, one level deeper.
  struct Nested {
    explicit Nested(ExpressionParser& p) : parser(p) {
      if (++parser.depth_ > kMostNesting)
        parser.fail("nested deeper than " + std::to_string(kMostNesting) + " levels");
    }
    ~Nested() { --parser.depth_; }
    ExpressionParser& parser;
  };

 private:
  using Rule = ExprRef (ExpressionParser::*)();
  ExprRef make(Expr::Kind kind, int line, ExprRef a = {}, ExprRef b = {}, ExprRef c = {});
  ExprRef chain(Rule operand, std::initializer_list<std::string_view> signs);
  ExprRef choice();
  ExprRef either();
  ExprRef both();
  ExprRef negation();
  ExprRef compare();
  ExprRef sum();
  ExprRef concatenation();
  ExprRef product();
  ExprRef power();
  ExprRef unary() { return unary(true); }
  ExprRef unary(bool with_filters);
  ExprRef primary();
  ExprRef postfix(ExprRef inner);
  ExprRef subscript(ExprRef inner);
  ExprRef subscripted();
  ExprRef test(ExprRef inner);
  ExprRef list();
  ExprRef dict();
  void arguments(Expr& to);
  bool at_tuple_end(std::string_view end) const;
  bool compares(std::string& sign);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace hearth::llm::jinja
