// Sets of characters, as Oniguruma names them, in PCRE2's words. PCRE2's tables are older than
// those of libutf8proc: the characters that only the latter know are added by their category.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm {

struct CodeRange {
  char32_t first, last;
};
/// Ascending ranges that neither touch nor overlap.
using CodeSet = std::vector<CodeRange>;

CodeSet united(const CodeSet& a, const CodeSet& b);
CodeSet complement(const CodeSet& a);
CodeSet intersection(const CodeSet& a, const CodeSet& b);

/// "\x{41}-\x{5A}...": the inside of a class that matches the set.
std::string class_of(const CodeSet& set);

/// A set with a name.
struct NamedSet {
  CodeSet plain;           // characters for certain
  std::string properties;  // and those of PCRE2's properties: "\p{L}\p{Nd}"
  CodeSet younger;         // and those that PCRE2 does not know yet
  CodeSet alone;           // and those that it has only where it stands outside of a class
  bool shrinks = false;    // the younger ones leave the set: it is that of the unassigned
  bool cased = false;      // letters are in it that differ from others of it in their case alone

  /// The inside of a class that matches it; not for one that shrinks.
  std::string inside() const;
  /// All its characters. Takes some milliseconds where it has properties.
  CodeSet all() const;
};

/// [:name:] of a class. Nothing where Oniguruma has no such name.
std::optional<NamedSet> posix_set(std::string_view name);

/// \p{name}: a general category, a script, or one of the properties that both libraries have, in
/// any case, with "_", "-" and spaces anywhere. Also "word" for \w, "digit" for \d, "space" for \s
/// and "xdigit" for \h.
std::optional<NamedSet> property_set(std::string_view name);

/// Texts of several characters that a single character, of another case, is equal to: "ss" for
/// U+00DF. Each is folded.
const std::vector<std::u32string>& folds_of_several();
/// Whether the character itself folds to several.
bool folds_to_several(char32_t code);

}  // namespace hearth::llm
