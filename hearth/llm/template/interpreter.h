// Evaluates a template's tree, within bounds: of steps and memory, of depth, of output.
#pragma once
#include <ctime>
#include <map>
#include <string>

#include "hearth/llm/template/tree.h"

namespace hearth::llm::jinja {

/// What raise_exception() throws.
struct Refused : Error {
  using Error::Error;
};

/// Names of one block, and where those that are not here are looked up.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::map<std::string, Value, std::less<>> names;
};
using ScopeRef = std::shared_ptr<Scope>;

class Interpreter {
 public:
  /// `now`: local time, for strftime_now.
  Interpreter(const Dict& variables, const std::tm& now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;

  /// The output. Throws Error; line() then says where.
  Text run(const Body& body);
  int line() const { return line_; }
  const std::tm& now() const { return now_; }

  /// Bytes made or looked at. Throws when all together are too many: a template that loops forever,
  /// or that builds gigabytes, ends here.
  void charge(uint64_t bytes);
  Value call(const Value& function, Args& args);
  /// value|name(args)
  Value filter(std::string_view name, const Value& value, Args& args);
  /// value is name(args)
  bool test(std::string_view name, const Value& value, Args& args);
  Value attribute(const Value& object, std::string_view name);
  Value item(const Value& object, const Value& key);
  /// Keeps a namespace until the end: what holds one another is let go of there, piece by piece.
  void keep(std::shared_ptr<Namespace> space);

 private:
  enum class Flow { on, leave, next };
  /// While it lives, one level deeper, and a step is counted.
  struct Deeper {
    explicit Deeper(Interpreter& interpreter);
    ~Deeper() { --in.depth_; }
    Interpreter& in;
  };
  ScopeRef inner(const ScopeRef& scope);

  Flow execute(const Body& body, const ScopeRef& scope, Text& out);
  Flow execute(const Stmt& s, const ScopeRef& scope, Text& out);
  Flow branch(const Stmt* s, const ScopeRef& scope, Text& out);
  void loop(const Stmt& s, const ScopeRef& scope, Text& out);
  void loop_over(const Stmt& s, const Value& items, const ScopeRef& scope, int depth0, Text& out);
  Value selected(const Stmt& s, const Value& items, const ScopeRef& scope);
  void call_block(const Stmt& s, const ScopeRef& scope, Text& out);
  Value macro(const Stmt& s, const ScopeRef& scope, const std::string& name);
  Value call_macro(const Stmt& s, const ScopeRef& scope, const std::string& name, Args& args);
  void assign(const Target& to, const Value& value, const ScopeRef& scope);
  Text text_of_block(const Body& body, const ScopeRef& scope);
  void print(Text& out, const Text& text);

  Value evaluate(const Expr& e, const ScopeRef& scope);
  Value evaluate_operator(const Expr& e, const ScopeRef& scope);
  Value evaluate_group(const Expr& e, const ScopeRef& scope);
  Value evaluate_call(const Expr& e, const ScopeRef& scope);
  Value evaluate_item(const Expr& e, const ScopeRef& scope);
  Value compare(const Expr& e, const ScopeRef& scope);
  Args arguments(const Expr& e, const ScopeRef& scope);
  Value filtered(const Expr& filters, Value input, const ScopeRef& scope);
  Value name(const std::string& name, const ScopeRef& scope);

  std::tm now_;
  ScopeRef variables_;
  uint64_t work_ = 0;
  int depth_ = 0, line_ = 0;
  std::vector<std::shared_ptr<Namespace>> spaces_;
  std::vector<ScopeRef> scopes_;  // of macros, which their own scopes hold
};

// What the parts of the interpreter are, a file each.

/// The attribute or the method of a value; nothing if there is none.
std::optional<Value> method_of(const Value& object, std::string_view name);
/// Names of methods that change what they are called on, which no template may.
bool changes(const Value& object, std::string_view name);
/// range, dict, namespace, raise_exception, strftime_now.
std::map<std::string, Value, std::less<>> functions();

Value binary(Interpreter& in, std::string_view sign, const Value& a, const Value& b);
Value negative(const Value& a);
/// a < b, and <=, >, >=.
bool ordered(std::string_view sign, const Value& a, const Value& b);
Value slice(Interpreter& in, const Value& whole, const Value& begin, const Value& end,
            const Value& step);
/// str % values, and str.format.
Text format_percent(Interpreter& in, const Text& format, const Value& values);
Text format_braces(Interpreter& in, const Text& format, const Args& args);
Text escaped(const Text& text);

}  // namespace hearth::llm::jinja
