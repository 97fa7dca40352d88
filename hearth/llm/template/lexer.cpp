#include "hearth/llm/template/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm::jinja {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// One kind of line end, and none at the very end.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)), rest_(source_) {}

  std::vector<Token> run() {
    while (at_ < rest_.size()) {
      const size_t tag = next_tag();
      if (tag == rest_.npos) {
        add_data(rest_.size(), ' ', false);
        at_ = rest_.size();
        break;
      }
      const char kind = rest_[tag + 1];
      const size_t after = tag + 2;
      const char sign =
          after < rest_.size() && (rest_[after] == '-' || rest_[after] == '+') ? rest_[after] : ' ';
      add_data(tag, sign, kind != '{');
      at_ = after + (sign != ' ');
      if (kind == '#')
        comment();
      else if (kind == '%' && raw_begins())
        raw();
      else
        expression(kind == '{');
    }
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw SyntaxError(what, line_); }

  // Where the next "{{", "{%" or "{#" is.
  size_t next_tag() const {
    for (size_t at = at_; (at = rest_.find('{', at)) != rest_.npos; ++at)
      if (at + 1 < rest_.size() &&
          (rest_[at + 1] == '{' || rest_[at + 1] == '%' || rest_[at + 1] == '#'))
        return at;
    return rest_.npos;
  }

  void add(Token::Kind kind, std::string text, Value value = {}) {
    tokens_.push_back({kind, std::move(text), std::move(value), line_});
  }
  void count_lines(std::string_view text) {
    line_ += int(std::count(text.begin(), text.end(), '\n'));
  }

  // The text up to a tag: without white space before "{%-", and without what indents a "{%".
  void add_data(size_t end, char sign, bool may_be_indented) {
    const std::string_view whole = rest_.substr(at_, end - at_);
    std::string_view text = whole;
    if (sign == '-') {
      text = without_space_behind(text);
    } else if (sign != '+' && may_be_indented) {
      const size_t line = text.rfind('\n') + 1;  // 0 where there is none
      if ((line > 0 || line_starting_) && without_space_behind(text.substr(line)).empty())
        text = text.substr(0, line);
    }
    if (!text.empty()) add(Token::Kind::data, std::string(text));
    count_lines(whole);
  }

  static std::string_view without_space_behind(std::string_view text) {
    while (!text.empty()) {
      size_t last = text.size() - 1;
      while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
      size_t at = last;
      if (!is_space(next_character(text, at))) break;
      text = text.substr(0, last);
    }
    return text;
  }

  size_t space_from(size_t at) const {
    while (at < rest_.size()) {
      size_t next = at;
      if (!is_space(next_character(rest_, next))) break;
      at = next;
    }
    return at;
  }

  // Behind a tag's end: "-%}" takes white space, "%}" one line end, "+%}" nothing.
  void end_tag(size_t end, char sign, bool trim_line) {
    size_t next = end;
    if (sign == '-')
      next = space_from(end);
    else if (sign != '+' && trim_line && end < rest_.size() && rest_[end] == '\n')
      ++next;
    count_lines(rest_.substr(at_, next - at_));
    line_starting_ = next > 0 && rest_[next - 1] == '\n';
    at_ = next;
  }

  void comment() {
    const size_t close = rest_.find("#}", at_);
    if (close == rest_.npos) fail("Missing end of comment tag");
    const char before = close > at_ ? rest_[close - 1] : ' ';
    end_tag(close + 2, before, true);
  }

  // "{%" was read: is it "{% raw %}"?
  bool raw_begins() {
    size_t at = space_from(at_);
    if (!rest_.substr(at).starts_with("raw")) return false;
    at = space_from(at + 3);
    const bool strip = rest_.substr(at).starts_with("-%}");
    if (!strip && !rest_.substr(at).starts_with("%}")) return false;
    end_tag(at + (strip ? 3 : 2), strip ? '-' : '+', false);
    return true;
  }

  void raw() {
    for (size_t open = at_; (open = rest_.find("{%", open)) != rest_.npos; open += 2) {
      size_t at = open + 2;
      char before = ' ', after = ' ';
      if (at < rest_.size() && (rest_[at] == '-' || rest_[at] == '+')) before = rest_[at++];
      at = space_from(at);
      if (!rest_.substr(at).starts_with("endraw")) continue;
      at = space_from(at + 6);
      if (at < rest_.size() && (rest_[at] == '-' || rest_[at] == '+')) after = rest_[at++];
      if (!rest_.substr(at).starts_with("%}")) continue;
      add_data(open, before, true);
      at_ = open;
      return end_tag(at + 2, after, true);
    }
    fail("Missing end of raw directive");
  }

  // Whether the tag ends here; if so it is passed.
  bool ends(bool print) {
    if (!open_.empty()) return false;
    const char sign = rest_[at_] == '-' || (rest_[at_] == '+' && !print) ? rest_[at_] : ' ';
    const size_t end = at_ + (sign != ' ');
    if (!rest_.substr(end).starts_with(print ? "}}" : "%}")) return false;
    add(print ? Token::Kind::print_end : Token::Kind::block_end, "");
    end_tag(end + 2, sign, !print);
    return true;
  }

  void expression(bool print) {
    add(print ? Token::Kind::print_begin : Token::Kind::block_begin, "");
    while (at_ < rest_.size()) {
      const size_t next = space_from(at_);
      if (next > at_) {
        count_lines(rest_.substr(at_, next - at_));
        at_ = next;
        continue;
      }
      if (ends(print)) return;
      const char c = rest_[at_];
      if (digit(c))
        number();
      else if (ascii_letter(c) || (c & 0x80))
        name();
      else if (c == '\'' || c == '"')
        string(c);
      else
        sign();
    }
    // The parser says what is missing.
  }

  void number() {
    const auto digits = [&](size_t at) {  // "1_000": where they end
      while (at < rest_.size() && (digit(rest_[at]) || (rest_[at] == '_' && at + 1 < rest_.size() &&
                                                        digit(rest_[at + 1]))))
        ++at;
      return at;
    };
    const auto plain = [&](size_t end) {
      std::string text(rest_.substr(at_, end - at_));
      std::erase(text, '_');
      return text;
    };
    size_t end = digits(at_);
    const bool after_dot = at_ > 0 && rest_[at_ - 1] == '.';  // x.0.1: two items
    bool real = false;
    if (!after_dot) {
      if (end + 1 < rest_.size() && rest_[end] == '.' && digit(rest_[end + 1])) {
        end = digits(end + 1);
        real = true;
      }
      size_t e = end;
      if (e < rest_.size() && (rest_[e] == 'e' || rest_[e] == 'E')) {
        if (++e < rest_.size() && (rest_[e] == '+' || rest_[e] == '-')) ++e;
        if (e < rest_.size() && digit(rest_[e])) end = digits(e), real = true;
      }
    }
    if (real) {
      const std::string text = plain(end);
      add(Token::Kind::number, text, std::strtod(text.c_str(), nullptr));
      at_ = end;
      return;
    }
    const char base = at_ + 1 < rest_.size() ? char(rest_[at_ + 1] | 0x20) : ' ';
    if (rest_[at_] == '0' && (base == 'x' || base == 'o' || base == 'b') && based_number(base))
      return;
    // A number does not begin with 0, unless it is 0.
    if (rest_[at_] == '0')
      for (end = at_ + 1; end < rest_.size() && rest_[end] == '0';) ++end;
    try {
      add(Token::Kind::number, plain(end), Value(Integer::parse(plain(end))));
    } catch (const std::invalid_argument& error) {
      fail(error.what());
    }
    at_ = end;
  }

  bool based_number(char letter) {
    const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
    size_t end = at_ + 2;
    Integer n(0);
    size_t digits = 0;
    for (; end < rest_.size(); ++end) {
      if (rest_[end] == '_') continue;
      int d = 0;
      const auto [stop, error] = std::from_chars(&rest_[end], &rest_[end] + 1, d, base);
      if (error != std::errc()) break;
      if (++digits > 1000) fail("a number of more than 1000 digits");
      n = n * Integer(base) + Integer(d);
    }
    if (digits == 0) return false;
    add(Token::Kind::number, "", Value(n));
    at_ = end;
    return true;
  }

  void name() {
    size_t end = at_;
    while (end < rest_.size()) {
      size_t next = end;
      const char32_t c = next_character(rest_, next);
      if (!(c < 128 ? ascii_letter(char(c)) || digit(char(c)) : is_letter(c) || is_numeric(c)))
        break;
      end = next;
    }
    if (end == at_) fail(concat("unexpected character at byte ", at_));
    add(Token::Kind::name, std::string(rest_.substr(at_, end - at_)));
    at_ = end;
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) fail(concat("a string that begins with ", quote, " does not end"));
    const std::string_view inside = rest_.substr(at_ + 1, end - at_ - 1);
    add(Token::Kind::text, unescaped(inside));
    count_lines(inside);
    at_ = end + 1;
  }

  std::string unescaped(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      constexpr std::string_view kFrom = "abfnrtv\\'\"", kTo = "\a\b\f\n\r\t\v\\'\"";
      if (c == '\n') continue;
      if (const size_t known = kFrom.find(c); known != kFrom.npos)
        out += kTo[known];
      else if (c == 'x' || c == 'u' || c == 'U')
        append_code(out, text, i, 16, c == 'x' ? 2 : c == 'u' ? 4 : 8);
      else if (c >= '0' && c <= '7')
        append_octal(out, text, i);
      else if (c == 'N')
        fail("characters by name (\\N{...}) are not known here; write \\uXXXX");
      else
        out += '\\', out += c;
    }
    return out;
  }

  void append_code(std::string& out, std::string_view text, size_t& i, int base, size_t n) const {
    uint32_t code = 0;
    const char* begin = text.data() + i + 1;
    const char* end = begin + std::min(n, text.size() - i - 1);
    const auto [stop, error] = std::from_chars(begin, end, code, base);
    if (error != std::errc() || stop != begin + n) fail("truncated \\x, \\u or \\U escape");
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
      fail("an escape that names no character");
    append_utf8(out, char32_t(code));
    i += n;
  }

  static void append_octal(std::string& out, std::string_view text, size_t& i) {
    uint32_t code = 0;
    const size_t end = std::min(i + 3, text.size());
    size_t at = i;
    for (; at < end && text[at] >= '0' && text[at] <= '7'; ++at)
      code = code * 8 + uint32_t(text[at] - '0');
    append_utf8(out, char32_t(code));
    i = at - 1;
  }

  void sign() {
    static constexpr std::array<std::string_view, 26> kSigns = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found = std::find_if(kSigns.begin(), kSigns.end(), [&](std::string_view s) {
      return rest_.substr(at_).starts_with(s);
    });
    if (found == kSigns.end()) fail(concat("unexpected char '", rest_[at_], "'"));
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open_.empty()) fail(concat("unexpected '", c, "'"));
      if (open_.back() != c) fail(concat("unexpected '", c, "', expected '", open_.back(), "'"));
      open_.pop_back();
    }
    add(Token::Kind::sign, std::string(*found));
    at_ += found->size();
  }

  const std::string source_;
  std::string_view rest_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was read last ends a line
  std::string open_;           // the brackets that are waited for
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace hearth::llm::jinja
