#include "hearth/llm/tokenizer/onig.h"

#include <map>
#include <set>
#include <vector>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/onig_reader.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

class Translator : private OnigReader {
 public:
  explicit Translator(std::string_view pattern) : OnigReader(pattern) {}

  std::string run() {
    if (!valid_utf8(pattern_)) refuse("not UTF-8");
    survey();
    std::string out = alternatives({}, 0);
    if (!at_end()) refuse("unmatched )");
    return out;
  }

 private:
  struct Options {
    bool caseless = false, dot_all = false, extended = false;
  };
  /// One piece that a quantifier may follow.
  struct Atom {
    std::string text;
    enum class Kind { whole, assertion, nothing } kind = Kind::whole;
    char32_t code = 0;  // of a literal, for `single`
    bool single = false;
  };

  // What must be known of the whole pattern first: its groups, and whether it refers to any.
  void survey() {
    int groups = 0;
    bool in_class = false;
    for (size_t i = 0; i < pattern_.size(); ++i) {
      const std::string_view rest = pattern_.substr(i);
      if (rest[0] == '\\') {
        const char next = rest.size() > 1 ? rest[1] : '\0';
        if (!in_class && ((next >= '1' && next <= '9') || next == 'k')) refers_ = true;
        ++i;
      } else if (in_class || rest[0] == '[') {
        in_class = rest[0] != ']' || (i > 0 && pattern_[i - 1] == '[');
      } else if (rest[0] == '(') {
        const bool quoted = rest.starts_with("(?<") || rest.starts_with("(?'");
        const char after = rest.size() > 3 ? rest[3] : '\0';
        if (quoted && after != '=' && after != '!') named_ = true;
        groups += !rest.starts_with("(?");
      }
    }
    numbered_ = groups;
  }

  std::string alternatives(Options options, int depth) {
    if (depth > kMaxDepth) refuse("groups nested deeper than 200");
    std::string out = sequence(options, depth);
    while (take("|")) out += '|' + sequence(options, depth);
    return out;
  }

  std::string sequence(Options& options, int depth) {
    std::string out;
    run_.clear();
    for (;;) {
      skip_blanks(options);
      if (at_end() || next_is("|") || next_is(")")) return out;
      // Options alone hold to the end of the group, its alternatives included.
      if (Options changed = options; isolated_options(changed)) {
        run_.clear();
        return out + option_group(changed, alternatives(changed, depth + 1));
      }
      Atom one = atom(options, depth);
      if (one.kind == Atom::Kind::nothing) continue;
      skip_blanks(options);
      const bool repeated = quantifier_follows();
      watch_case(one, options, repeated);
      out += repeated ? quantified(std::move(one), options) : one.text;
    }
  }

  static std::string option_group(const Options& options, const std::string& inside) {
    return concat(options.caseless ? "(?i:" : "(?-i:", inside, ")");
  }

  void skip_blanks(const Options& options) {
    for (;;) {
      if (take("(?#")) {
        for (char32_t c = take_character(); c != ')'; c = take_character())
          if (c == '\\') take_character();
      } else if (options.extended && !at_end() &&
                 (std::string_view(" \t\n\r\f\v").find(pattern_[at_]) != std::string_view::npos)) {
        ++at_;
      } else if (options.extended && next_is("#")) {
        at_ = std::min(pattern_.find('\n', at_), pattern_.size());
      } else {
        return;
      }
    }
  }

  // "(?i)", "(?m-x)": takes them and is true, or leaves the pattern where it is.
  bool isolated_options(Options& options) {
    const size_t before = at_;
    if (!take("(?")) return false;
    Options changed = options;
    if (read_options(changed) && take(")")) {
      options = changed;
      return true;
    }
    at_ = before;
    return false;
  }
  bool read_options(Options& options) {
    const size_t before = at_;
    for (bool on = true; !at_end(); ++at_) {
      switch (pattern_[at_]) {
        case '-': on = false; break;
        case 'i': options.caseless = on; break;
        case 'm': options.dot_all = on; break;
        case 'x': options.extended = on; break;
        default: return at_ > before;
      }
    }
    return false;
  }

  // A literal of several characters may be equal to one character of another case: "ss" and the
  // sharp s. Oniguruma knows that, PCRE2 does not.
  void watch_case(const Atom& one, const Options& options, bool repeated) {
    if (!options.caseless || !one.single || repeated) {
      if (options.caseless && one.single && folds_to_several(one.code)) refuse_fold();
      run_.clear();
      return;
    }
    if (folds_to_several(one.code)) refuse_fold();
    const char32_t c = one.code;
    run_ += c >= 'A' && c <= 'Z' ? char32_t(c | 32) : c;
    for (const std::u32string& fold : folds_of_several())
      if (run_.ends_with(fold)) refuse_fold();
  }
  bool quantifier_follows() {
    const size_t before = at_;
    Count count;
    const bool follows = read_count(count);
    at_ = before;
    return follows;
  }

  struct Count {
    int least = 0, most = -1;  // -1: any number
    bool braces = false, swapped = false;
  };
  bool read_count(Count& count) {
    if (take("*")) return true;
    if (take("+")) return count.least = 1, true;
    if (take("?")) return count.most = 1, true;
    const size_t before = at_;
    const auto number = [&] {
      int n = -1;
      while (!at_end() && is_digit(pattern_[at_])) {
        n = std::max(n, 0) * 10 + (pattern_[at_++] - '0');
        if (n > 100'000) refuse("a count above 100000");
      }
      return n;
    };
    if (take("{")) {
      count.braces = true;
      const int least = number();
      const bool comma = take(",");
      const int most = comma ? number() : least;
      if ((least >= 0 || (comma && most >= 0)) && take("}")) {
        count.least = std::max(least, 0);
        count.most = most;
        count.swapped = most >= 0 && most < count.least;
        if (count.swapped) std::swap(count.least, count.most);
        return true;
      }
    }
    at_ = before;  // a { that stands for itself
    return false;
  }

  std::string quantified(Atom one, const Options& options) {
    std::string text = std::move(one.text);
    bool first = true, lazy_before = false, fixed_before = false;
    for (;; first = false) {
      skip_blanks(options);
      Count count;
      if (!read_count(count)) return text;
      if (one.kind == Atom::Kind::assertion) refuse("a quantifier behind an assertion");
      std::string how = count.least == 0 && count.most < 0    ? "*"
                        : count.least == 1 && count.most < 0  ? "+"
                        : count.least == 0 && count.most == 1 ? "?"
                        : count.most < 0                      ? concat('{', count.least, ",}")
                        : count.least == count.most
                            ? concat('{', count.least, '}')
                            : concat('{', count.least, ',', count.most, '}');
      // Behind a fixed number, ? is a quantifier of its own: "or not at all".
      const bool fixed = count.braces && count.least == count.most;
      const bool lazy = !count.swapped && !fixed && take("?");
      const bool possessive = count.swapped || (!count.braces && !lazy && take("+"));  // {3,2}
      if (!first && (lazy_before || (lazy && !fixed_before)))
        not_supported("a quantifier on a lazy one");
      if (!first) text = concat("(?:", text, ')');
      text += how + (lazy ? "?" : possessive ? "+" : "");
      lazy_before = lazy;
      fixed_before = fixed;
    }
  }

  Atom atom(const Options& options, int depth) {
    using Kind = Atom::Kind;
    if (next_is("(")) return group(options, depth);
    if (take("[")) return {bracket(options.caseless, depth + 1), Kind::whole, 0, false};
    if (take("^")) return {"^", Kind::assertion, 0, false};
    if (take("$")) return {"$", Kind::assertion, 0, false};
    if (take(".")) return {options.dot_all ? "(?s:.)" : ".", Kind::whole, 0, false};
    if (next_is("\\")) return escape();
    if (quantifier_follows()) refuse("a quantifier with nothing before it");
    const char32_t code = take_character();
    return {literal(code), Kind::whole, code, true};
  }

  Atom group(const Options& options, int depth) {
    using Kind = Atom::Kind;
    const auto inside = [&](std::string_view open, Kind kind, const Options& within) {
      std::string text = concat(open, alternatives(within, depth + 1), ')');
      run_.clear();
      if (!take(")")) refuse("missing )");
      return Atom{std::move(text), kind, 0, false};
    };
    take("(");
    if (next_is("*")) not_supported("a callout (*...)");
    if (!take("?")) {
      if (named_ || !refers_) return inside("(?:", Kind::whole, options);
      const int number = ++groups_;
      Atom made = inside("(", Kind::whole, options);
      closed_.insert(number);
      return made;
    }
    if (take(":")) return inside("(?:", Kind::whole, options);
    if (take(">")) return inside("(?>", Kind::whole, options);
    for (const std::string_view look : {"=", "!", "<=", "<!"})
      if (take(look)) return inside(concat("(?", look), Kind::assertion, options);
    if (next_is("<") || next_is("'")) {
      const std::string name = name_until(take("<") ? '>' : (take("'"), '\''));
      if (names_.contains(name)) not_supported(concat("a second group named ", name));
      const int number = ++groups_;
      names_[name] = number;
      Atom made = inside(refers_ ? "(" : "(?:", Kind::whole, options);
      closed_.insert(number);
      return made;
    }
    for (const auto& [begin, what] :
         {std::pair("~", "an absent group (?~...)"), std::pair("(", "a condition (?(...)...)"),
          std::pair("{", "a callout (?{...})")})
      if (next_is(begin)) not_supported(what);
    Options changed = options;
    if (read_options(changed) && take(":")) {
      std::string text = option_group(changed, alternatives(changed, depth + 1));
      run_.clear();
      if (!take(")")) refuse("missing )");
      return {std::move(text), Kind::whole, 0, false};
    }
    not_supported(concat("the group option ", at_end() ? "" : std::string(1, pattern_[at_])));
  }

  std::string name_until(char end) {
    const size_t close = pattern_.find(end, at_);
    if (close == pattern_.npos || close == at_) refuse("a name without its end");
    std::string name(pattern_.substr(at_, close - at_));
    for (const char c : name)
      if (!is_digit(c) && !((c | 32) >= 'a' && (c | 32) <= 'z') && c != '_' && (c & 0x80) == 0)
        not_supported(concat("the name ", name));
    at_ = close + 1;
    return name;
  }

  Atom refer(int number) {
    if (!closed_.contains(number)) not_supported("a reference to a group that is not closed yet");
    return {concat("\\g{", number, '}'), Atom::Kind::whole, 0, false};
  }

  /// A class of a set that stands alone. Oniguruma asks of the character as it is, whatever (?i).
  Atom set(NamedSet named, bool negated) {
    named.plain = united(named.plain, named.alone);
    std::string text =
        concat(negated ? "[^" : "[", named.shrinks ? class_of(named.all()) : named.inside(), ']');
    return {named.cased ? concat("(?-i:", text, ')') : text, Atom::Kind::whole, 0, false};
  }

  Atom escape() {
    using Kind = Atom::Kind;
    if (const auto code = escaped_character()) return {literal(*code), Kind::whole, *code, true};
    take("\\");
    const char c = pattern_[at_++];
    if (c >= '1' && c <= '9') {
      size_t end = at_;
      while (end < pattern_.size() && is_digit(pattern_[end]) && end - at_ < 5) ++end;
      const int number = std::stoi(std::string(pattern_.substr(at_ - 1, end - at_ + 1)));
      if (number <= 9 || number <= numbered_) {
        if (named_) refuse("a number for a group where others have names");
        at_ = end;
        return refer(number);
      }
      --at_;
      char32_t code = 0;
      const size_t first = at_;
      while (!at_end() && is_octal(pattern_[at_]) && at_ - first < 3)
        code = code * 8 + char32_t(pattern_[at_++] - '0');
      if (at_ == first) refuse("a reference to a group that is not there");
      if (code >= 0x80) not_supported("a byte of a character");
      return {literal(code), Kind::whole, code, true};
    }
    if (c == 'p' || c == 'P') {
      if (!next_is("{")) return {std::string(1, c), Kind::whole, char32_t(c), true};
      const auto [named, negated] = property(c == 'P');
      return set(named, negated);
    }
    if (const auto named = short_set(c)) return set(*named, c < 'a');
    switch (c) {
      case 'b':
      case 'B': return {word_boundary(c == 'b'), Kind::assertion, 0, false};
      case 'A':
      case 'Z':
      case 'z':
      case 'G': return {{'\\', c}, Kind::assertion, 0, false};
      case 'R':
        return {R"((?>\x{D}\x{A}|[\x{A}-\x{D}\x{85}\x{2028}\x{2029}]))", Kind::whole, 0, false};
      case 'N': return {R"([^\x{A}])", Kind::whole, 0, false};
      case 'O': return {"(?s:.)", Kind::whole, 0, false};
      case 'k': {
        if (!next_is("<") && !next_is("'")) break;
        const std::string name = name_until(take("<") ? '>' : (take("'"), '\''));
        if (is_digit(name[0])) {
          if (named_) refuse("a number for a group where others have names");
          return refer(name.size() < 6 ? std::stoi(name) : 0);
        }
        const auto found = names_.find(name);
        if (found == names_.end()) not_supported(concat("a reference to ", name, " before it"));
        return refer(found->second);
      }
      case 'g':
        if (next_is("<") || next_is("'")) not_supported("a call of a group (\\g<...>)");
        break;
      case 'K':
      case 'X':
      case 'y':
      case 'Y': not_supported(concat("\\", std::string(1, c)));
    }
    return {std::string(1, c), Kind::whole, char32_t(c), true};  // a letter that means itself
  }

  std::string word_boundary(bool is) {
    const std::string word = set(*short_set('w'), false).text;
    return is ? concat("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))")
              : concat("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))");
  }

  bool named_ = false, refers_ = false;
  int numbered_ = 0, groups_ = 0;
  std::map<std::string, int> names_;
  std::set<int> closed_;  // groups that lie behind
  std::u32string run_;    // the literals just before, folded
};

}  // namespace

std::string translate_onig(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace hearth::llm
