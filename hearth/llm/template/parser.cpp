#include "hearth/llm/template/parser.h"

#include <algorithm>

#include "hearth/base/error.h"
#include "hearth/llm/template/expression_parser.h"

namespace hearth::llm::jinja {

namespace {

using Kind = Token::Kind;
using Ends = std::initializer_list<std::string_view>;

/// Statements; what they hold is parsed by the expressions' parser.
class Parser : private ExpressionParser {
 public:
  explicit Parser(std::string_view source) : ExpressionParser(tokens_of(source)) {}

  Body run() {
    Body body = statements({}, "");
    return body;
  }

 private:
  // Up to one of `ends`, of which the name is left to read; to the end of the template without any.
  Body statements(Ends ends, std::string_view tag) {
    const Nested nested(*this);
    const int line = now().line;
    Body body;
    while (now().kind != Kind::end) {
      if (now().kind == Kind::data) {
        body.push_back({Stmt::Kind::data, now().line, take().text});
      } else if (now().kind == Kind::print_begin) {
        Stmt print{Stmt::Kind::print, take().line};
        print.value = tuple();
        expect(Kind::print_end, "end of print statement");
        body.push_back(std::move(print));
      } else {
        take();  // block_begin
        if (now().kind == Kind::name &&
            std::find(ends.begin(), ends.end(), now().text) != ends.end())
          return body;
        if (now().kind != Kind::name) fail("tag name expected");
        statement(body);
        expect(Kind::block_end, "end of statement block");
      }
    }
    if (ends.size() > 0)
      throw SyntaxError(concat("the template ends, and '", tag, "' is still open: wanted {% ",
                               *(ends.end() - 1), " %}"),
                        line);
    return body;
  }

  // The rest of a tag, then statements up to one of `ends`.
  std::shared_ptr<const Body> body_until(Ends ends, std::string_view tag) {
    skip_sign(":");
    expect(Kind::block_end, "end of statement block");
    return std::make_shared<const Body>(statements(ends, tag));
  }
  // The same, and the one end is read.
  std::shared_ptr<const Body> body_to(std::string_view end, std::string_view tag) {
    auto body = body_until({end}, tag);
    take();
    return body;
  }

  void statement(Body& body) {
    const Token tag = take();
    Stmt s{Stmt::Kind::scope, tag.line, tag.text};
    const std::string& name = tag.text;
    if (name == "for")
      loop(s);
    else if (name == "if")
      branch(s);
    else if (name == "set")
      set(s);
    else if (name == "macro")
      macro(s);
    else if (name == "call")
      call(s);
    else if (name == "filter")
      filter(s);
    else if (name == "with")
      with(s);
    else if (name == "generation")
      s.body = body_to("endgeneration", name);
    else if (name == "block")
      block(s);
    else if (name == "print")
      return print(body, tag.line);
    else if (name == "break" || name == "continue")
      leave(s);
    else if (name == "autoescape")
      autoescape(s);
    else if (name == "include" || name == "import" || name == "from" || name == "extends")
      unsupported(s);
    else
      throw SyntaxError(concat("Encountered unknown tag '", name, "'."), tag.line);
    body.push_back(std::move(s));
  }

  void loop(Stmt& s) {
    s.kind = Stmt::Kind::loop;
    s.target = target(false, "in");
    expect_name("in");
    s.value = tuple(false, "recursive");
    if (skip_name("if")) s.test = expression();
    s.recursive = skip_name("recursive");
    ++loops_;
    s.body = body_until({"else", "endfor"}, "for");
    --loops_;
    if (take().text == "else") s.otherwise = body_to("endfor", "for");
  }

  void branch(Stmt& s) {
    s.kind = Stmt::Kind::branch;
    s.value = tuple(false);
    s.body = body_until({"elif", "else", "endif"}, "if");
    // An elif is a branch in the otherwise of the one before: built from the last to the first.
    std::vector<Stmt> chain;
    std::shared_ptr<const Body> last;
    for (;;) {
      const Token word = take();
      if (word.text == "else") {
        last = body_to("endif", "if");
        break;
      }
      if (word.text == "endif") break;
      Stmt next{Stmt::Kind::branch, word.line};
      next.value = tuple(false);
      next.body = body_until({"elif", "else", "endif"}, "if");
      chain.push_back(std::move(next));
    }
    if (chain.size() > kMostElifs) fail(concat("more than ", kMostElifs, " elif"));
    while (!chain.empty()) {
      chain.back().otherwise = last;
      auto one = std::make_shared<Body>();
      one->push_back(std::move(chain.back()));
      chain.pop_back();
      last = one;
    }
    s.otherwise = last;
  }

  void set(Stmt& s) {
    s.target = target(true);
    if (skip_sign("=")) {
      s.kind = Stmt::Kind::set;
      s.value = tuple();
      return;
    }
    s.kind = Stmt::Kind::set_block;
    s.value = filters(nullptr);
    s.body = body_to("endset", "set");
  }

  std::shared_ptr<const Signature> signature() {
    auto made = std::make_shared<Signature>();
    expect_sign("(");
    while (!is_sign(")")) {
      if (!made->names.empty()) expect_sign(",");
      if (is_sign(")")) fail("expected a name of a parameter");
      made->names.push_back(name_to_set());
      if (skip_sign("="))
        made->defaults.push_back(expression());
      else if (!made->defaults.empty())
        fail("non-default argument follows default argument");
    }
    take();
    return made;
  }

  // A body that is a function: what it asks for by name is known before.
  void function_body(Stmt& s, std::string_view end, std::string_view tag) {
    const int loops = std::exchange(loops_, 0);
    const Seen before = std::exchange(seen_, {});
    s.body = body_to(end, tag);
    s.wants_caller = seen_.caller, s.wants_kwargs = seen_.kwargs, s.wants_varargs = seen_.varargs;
    seen_ = {before.caller || seen_.caller, before.kwargs || seen_.kwargs,
             before.varargs || seen_.varargs};
    loops_ = loops;
  }

  void macro(Stmt& s) {
    s.kind = Stmt::Kind::macro;
    s.text = name_to_set();
    s.signature = signature();
    function_body(s, "endmacro", "macro");
  }

  void call(Stmt& s) {
    s.kind = Stmt::Kind::call;
    s.signature = is_sign("(") ? signature() : std::make_shared<const Signature>();
    s.value = expression();
    if (s.value->kind != Expr::Kind::call) throw SyntaxError("expected call", s.line);
    function_body(s, "endcall", "call");
  }

  void filter(Stmt& s) {
    s.kind = Stmt::Kind::filter;
    s.value = filters(nullptr, true);
    s.body = body_to("endfilter", "filter");
  }

  void with(Stmt& s) {
    s.kind = Stmt::Kind::with;
    while (now().kind == Kind::name) {
      if (!s.with.empty()) fail("expected a comma");
      for (;;) {
        Target to = target(false);
        expect_sign("=");
        s.with.emplace_back(std::move(to), expression());
        if (!skip_sign(",")) break;
      }
    }
    s.body = body_to("endwith", "with");
  }

  // Without inheritance a block is shown where it stands.
  void block(Stmt& s) {
    const std::string name = expect(Kind::name, "name").text;
    skip_name("scoped");
    skip_name("required");
    s.body = body_to("endblock", "block");
    skip_name(name);
  }

  void autoescape(Stmt& s) {
    const ExprRef on = expression();
    if (on->kind != Expr::Kind::constant || truth(on->value))
      throw SyntaxError("autoescape is for web pages; a chat template has none", s.line);
    s.body = body_to("endautoescape", "autoescape");
  }

  void print(Body& body, int line) {
    for (bool first = true; now().kind != Kind::block_end; first = false) {
      if (!first) expect_sign(",");
      Stmt one{Stmt::Kind::print, line};
      one.value = expression();
      body.push_back(std::move(one));
    }
  }

  void leave(Stmt& s) {
    if (loops_ == 0) throw SyntaxError(concat("'", s.text, "' outside loop"), s.line);
    s.kind = s.text == "break" ? Stmt::Kind::leave : Stmt::Kind::next;
  }

  void unsupported(Stmt& s) {
    s.kind = Stmt::Kind::unsupported;
    while (now().kind != Kind::block_end && now().kind != Kind::end) take();
  }

  static constexpr size_t kMostElifs = 400;
  int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source) { return Parser(source).run(); }

}  // namespace hearth::llm::jinja
