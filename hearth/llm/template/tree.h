// A template as a tree: expressions and statements.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

struct Expr;
using ExprRef = std::unique_ptr<const Expr>;

struct Expr {
  enum class Kind {
    constant,   // value
    name,       // name
    list,       // parts
    tuple,      // parts
    dict,       // parts: key, value, key, value, ...
    attribute,  // parts[0].name
    item,       // parts[0][parts[1]]
    slice,      // parts: begin, end, step; each may be missing
    call,       // parts[0](arguments)
    filter,     // parts[0]|name(arguments); no part: what a block gives
    test,       // parts[0] is name(arguments)
    negation,   // not parts[0]
    minus,      // -parts[0]
    plus,       // +parts[0]
    both,       // parts[0] and parts[1]
    either,     // parts[0] or parts[1]
    choice,     // parts[1] if parts[0] else parts[2], which may be missing
    compare,    // parts[0] signs[0] parts[1] signs[1] parts[2] ...
    binary,     // parts[0] name parts[1]
    concat,     // parts joined by ~
  };
  Kind kind;
  int line;
  std::string name = {};
  Value value = {};
  std::vector<ExprRef> parts = {};
  std::vector<std::string> signs = {};
  // The arguments of calls, filters and tests; *more and **more may be missing.
  std::vector<ExprRef> arguments = {};
  std::vector<std::pair<std::string, ExprRef>> named = {};
  ExprRef more = {}, more_named = {};
};

/// What a value is given to: a name, an attribute of a namespace, or several of them.
struct Target {
  enum class Kind { name, attribute, tuple } kind;
  int line;
  std::string name, attribute;
  std::vector<Target> parts;
};

struct Stmt;
using Body = std::vector<Stmt>;

/// Parameters of a macro or of a call block; the last ones have defaults.
struct Signature {
  std::vector<std::string> names;
  std::vector<ExprRef> defaults;
};

struct Stmt {
  enum class Kind {
    data,         // text
    print,        // value
    loop,         // for target in value if test: body, otherwise
    branch,       // if value: body, otherwise
    set,          // target = value
    set_block,    // target = body, through the filter `value`
    macro,        // text(signature): body
    call,         // value (a call) with caller(signature): body
    filter,       // body through the filter `value`
    with,         // targets = values: body
    scope,        // body
    leave,        // break
    next,         // continue
    unsupported,  // text is its name
  };
  Kind kind;
  int line;
  std::string text = {};
  ExprRef value = {}, test = {};
  Target target = {};
  std::vector<std::pair<Target, ExprRef>> with = {};
  std::shared_ptr<const Signature> signature = {};
  std::shared_ptr<const Body> body = {}, otherwise = {};
  bool recursive = false;                                                  // of a loop
  bool wants_caller = false, wants_kwargs = false, wants_varargs = false;  // of macro and call
};

}  // namespace hearth::llm::jinja
