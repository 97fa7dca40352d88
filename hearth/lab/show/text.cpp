#include "hearth/lab/show/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>

namespace hearth::lab {
namespace {

struct Character {
  size_t bytes = 1;
  utf8proc_int32_t code = -1;  // none: the byte is no text
  size_t columns = 0;
};

Character character(std::string_view text) {
  Character c;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                      utf8proc_ssize_t(text.size()), &c.code);
  if (bytes < 1) return {1, -1, 1};
  c.bytes = size_t(bytes);
  c.columns = size_t(utf8proc_charwidth(c.code));
  return c;
}

// What a terminal obeys, or turns the text round: controls, marks of direction, breaks of lines.
bool obeyed(utf8proc_int32_t code) {
  constexpr utf8proc_int32_t kNonJoiner = 0x200c, kJoiner = 0x200d;  // these are letters' own
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CF: return code != kNonJoiner && code != kJoiner;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return true;
    default: return false;
  }
}

// Bytes of the longest beginning that is no wider, and of characters that combine with its last.
size_t beginning(std::string_view text, size_t columns) {
  size_t at = 0;
  for (size_t used = 0; at < text.size();) {
    const Character c = character(text.substr(at));
    if (used += c.columns; used > columns) break;
    at += c.bytes;
  }
  return at;
}

// Likewise of the end: where it begins.
size_t ending(std::string_view text, size_t columns) {
  size_t wide = columns_of(text), at = 0;
  while (at < text.size() && wide > columns) {
    const Character c = character(text.substr(at));
    wide -= c.columns;
    at += c.bytes;
  }
  return at;
}

void fold_line(std::string& out, std::string_view line, size_t width) {
  if (columns_of(line) <= width) {
    out += line;
    return;
  }
  const size_t first = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(first);
  size_t indent = std::min(first, width / 2);
  for (bool begun = false; !line.empty(); begun = true) {
    if (begun) out += '\n';
    out.append(indent, ' ');
    size_t fits = beginning(line, width - indent);
    if (fits == 0) fits = character(line).bytes;  // wider than all the room
    if (fits < line.size())
      if (const size_t blank = line.rfind(' ', fits); blank != line.npos && blank > 0) fits = blank;
    std::string_view piece = line.substr(0, fits);
    line.remove_prefix(fits);
    piece = piece.substr(0, piece.find_last_not_of(' ') + 1);
    out += piece;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!begun) indent = std::min(first + 2, width / 2);
  }
}

}  // namespace

std::string with_replaced(std::string_view text, bool (*picked)(int32_t),
                          const std::function<std::string(int32_t)>& instead) {
  std::string out;
  while (!text.empty()) {
    const Character c = character(text);
    if (c.code < 0)
      out += '?';
    else if (picked(c.code))
      out += instead(c.code);
    else
      out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out;
}

bool is_control(int32_t code) {
  return utf8proc_category(code) == UTF8PROC_CATEGORY_CC && code != '\n' && code != '\t';
}

std::string printable(std::string_view text) {
  const auto picked = [](int32_t code) { return code != '\n' && obeyed(code); };
  return with_replaced(text, picked, [](int32_t) { return " "; });
}

std::string one_line(std::string_view text) {
  std::string out = printable(text);
  std::ranges::replace(out, '\n', ' ');
  return out;
}

std::string markdown_text(std::string_view text) {
  constexpr std::string_view kObeyed = "\\`*_[]<>&|~$";
  std::string out;
  for (const char c : one_line(text)) {
    if (kObeyed.find(c) != kObeyed.npos) out += '\\';
    out += c;
  }
  return out;
}

std::string markdown_code(std::string_view text) {
  const std::string line = one_line(text);
  // Within backquotes only a bar can be written otherwise, and not after a backslash.
  const bool quotable = line.find('`') == line.npos && line.find("\\|") == line.npos;
  std::string out;
  for (const char c : line)
    if (quotable)
      out += c == '|' ? std::string("\\|") : std::string(1, c);
    else
      out += c > ' ' && c < 0x7f && !std::isalnum(static_cast<unsigned char>(c))
                 ? "&#" + std::to_string(int(c)) + ";"
                 : std::string(1, c);
  return quotable ? "`" + out + "`" : "<code>" + out + "</code>";
}

size_t columns_of(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const Character c = character(text);
    columns += c.columns;
    text.remove_prefix(c.bytes);
  }
  return columns;
}

std::string shortened(std::string_view label, size_t columns) {
  if (columns_of(label) <= columns) return std::string(label);
  if (columns < 8) return std::string(label.substr(0, beginning(label, columns)));
  const size_t tail = (columns - 3) / 2;
  std::string out(label.substr(0, beginning(label, columns - 3 - tail)));
  return out.append("...").append(label.substr(ending(label, tail)));
}

std::string padded(std::string text, size_t columns) {
  if (const size_t wide = columns_of(text); wide < columns) text.append(columns - wide, ' ');
  return text;
}

std::string folded(std::string_view text, size_t width) {
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    fold_line(out, text.substr(0, end), width);
    if (end == text.npos) break;
    out += '\n';
    text.remove_prefix(end + 1);
  }
  return out;
}

namespace {

/// What a shell takes together from here: a character, or a backslash and what it quotes.
size_t atom(std::string_view text, bool quoted) {
  const size_t first = character(text).bytes;
  if (quoted || text[0] != '\\' || text.size() < 2) return first;
  return first + character(text.substr(1)).bytes;
}

size_t word_end(std::string_view text) {
  size_t at = 0;
  for (bool quoted = false; at < text.size() && (quoted || text[at] != ' ');) {
    const size_t bytes = atom(text.substr(at), quoted);
    if (text[at] == '\'') quoted = !quoted;
    at += bytes;
  }
  return at;
}

}  // namespace

std::string folded_command(std::string_view command, size_t width) {
  constexpr size_t kIndent = 2, kMore = 6, kEnd = 3;  // the end: "'" and "\", or " \"
  const size_t room = std::max<size_t>(width, 20) - kEnd;
  std::string out(kIndent, ' ');
  size_t used = kIndent;
  for (bool begun = false; !command.empty(); begun = true) {
    const std::string_view word = command.substr(0, word_end(command));
    command.remove_prefix(std::min(word.size() + 1, command.size()));
    const size_t wide = columns_of(word);
    if (begun && used + 1 + wide > room && used > kMore) {
      out.append(" \\\n").append(kMore, ' ');
      used = kMore;
    } else if (begun) {
      out += ' ', ++used;
    }
    bool quoted = false;
    for (size_t at = 0; at < word.size();) {
      const std::string_view next = word.substr(at, atom(word.substr(at), quoted));
      if (used + columns_of(next) > room) {  // a word that is longer than a line
        out += quoted ? "'\\\n'" : "\\\n";
        used = quoted;
      }
      if (next == "'") quoted = !quoted;
      out += next, used += columns_of(next);
      at += next.size();
    }
  }
  return out;
}

}  // namespace hearth::lab
