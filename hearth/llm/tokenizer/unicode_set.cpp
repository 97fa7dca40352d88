#define PCRE2_CODE_UNIT_WIDTH 8
#include "hearth/llm/tokenizer/unicode_set.h"

#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

constexpr char32_t kLast = 0x10FFFF;

bool surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

void append(CodeSet& set, char32_t code) {
  if (!set.empty() && set.back().last + 1 == code)
    set.back().last = code;
  else
    set.push_back({code, code});
}

/// Those of the characters of `text` that the class of PCRE2 with `inside` has.
CodeSet matches(const std::string& inside, std::string_view text) {
  int error = 0;
  PCRE2_SIZE where = 0;
  const std::string pattern = "[" + inside + "]+";
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error,
                    &where, nullptr),
      pcre2_code_free);
  CodeSet set;
  if (!code) return set;  // a property that this PCRE2 lacks
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  ensure(data != nullptr, "regular expression: no memory");
  size_t at = 0;
  while (at < text.size() &&
         pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                     PCRE2_NO_UTF_CHECK, data.get(), nullptr) > 0) {
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    for (at = range[0]; at < range[1];) {
      const Utf8Step step = utf8_step(text.substr(at));
      append(set, step.code);
      at += size_t(step.length);
    }
  }
  return set;
}

bool compiles(const std::string& inside) {
  int error = 0;
  PCRE2_SIZE where = 0;
  const std::string pattern = "[" + inside + "]";
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF, &error, &where, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

const std::string& all_characters() {
  static const std::string all = [] {
    std::string text;
    for (char32_t c = 0; c <= kLast; ++c)
      if (!surrogate(c)) append_utf8(text, c);
    return text;
  }();
  return all;
}

utf8proc_category_t category_of(char32_t c) { return utf8proc_category(utf8proc_int32_t(c)); }

// Most characters, and as old as Unicode 13: what every PCRE2 knows, or is empty or private in all.
// Looking at each of them would take 3 ms of every start.
constexpr CodeRange kOld[] = {
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFC},   {0xAC00, 0xD7A3},   {0xD800, 0xF8FF},
    {0x17000, 0x187F7}, {0x20000, 0x2A6DD}, {0x2A700, 0x2B734}, {0x2B740, 0x2B81D},
    {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x30000, 0x3134A}, {0x40000, 0xDFFFF},
    {0xE1000, kLast},
};

/// The characters that utf8proc knows and PCRE2 does not.
const CodeSet& younger_characters() {
  static const CodeSet younger = [] {
    std::string known;
    char32_t c = 0;
    for (const auto& [first, last] : kOld) {
      for (; c < first; ++c)
        if (category_of(c) != UTF8PROC_CATEGORY_CN) append_utf8(known, c);
      c = last + 1;
    }
    return matches("\\p{Cn}", known);
  }();
  return younger;
}

// A general category in utf8proc's order, as a bit.
constexpr uint32_t bit(int category) { return uint32_t{1} << category; }
constexpr uint32_t bits(int first, int last) { return (bit(last) << 1) - bit(first); }
constexpr uint32_t kL = bits(UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
constexpr uint32_t kLC = bits(UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LT);
constexpr uint32_t kM = bits(UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
constexpr uint32_t kN = bits(UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
constexpr uint32_t kNd = bit(UTF8PROC_CATEGORY_ND), kNl = bit(UTF8PROC_CATEGORY_NL);
constexpr uint32_t kP = bits(UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
constexpr uint32_t kPc = bit(UTF8PROC_CATEGORY_PC);
constexpr uint32_t kS = bits(UTF8PROC_CATEGORY_SM, UTF8PROC_CATEGORY_SO);
constexpr uint32_t kZ = bits(UTF8PROC_CATEGORY_ZS, UTF8PROC_CATEGORY_ZP);
constexpr uint32_t kZs = bit(UTF8PROC_CATEGORY_ZS);
constexpr uint32_t kCf = bit(UTF8PROC_CATEGORY_CF), kCo = bit(UTF8PROC_CATEGORY_CO);
constexpr uint32_t kAll = ~bit(UTF8PROC_CATEGORY_CN);
constexpr uint32_t kGraph = kL | kM | kN | kP | kS | kCf | kCo;

CodeSet younger_of(uint32_t categories) {
  CodeSet set;
  if (categories == 0) return set;
  for (const auto& [first, last] : younger_characters())
    for (char32_t c = first; c <= last; ++c)
      if (categories & bit(category_of(c))) append(set, c);
  return set;
}

struct Entry {
  std::string_view name;  // small letters alone
  std::string_view properties;
  uint32_t younger;
  bool shrinks = false, cased = false;
};

// What Oniguruma's own names mean, found by trying each on all characters.
constexpr Entry kCommon[] = {
    {"alnum", R"(\p{Alphabetic}\p{Nd})", kL | kNl | kNd},
    {"alpha", R"(\p{Alphabetic})", kL | kNl},
    {"cntrl", R"(\p{Cc})", 0},
    {"digit", R"(\p{Nd})", kNd},
    {"graph", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co})", kGraph},
    {"lower", R"(\p{Lowercase})", bit(UTF8PROC_CATEGORY_LL), false, true},
    {"print", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs})", kGraph | kZs},
    {"upper", R"(\p{Uppercase})", bit(UTF8PROC_CATEGORY_LU), false, true},
    {"word", R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})", kL | kNl | kM | kNd | kPc},
};
constexpr Entry kPosix[] = {{"punct", R"(\p{P}\p{S})", kP | kS}};
constexpr Entry kProperties[] = {
    {"punct", R"(\p{P})", kP},
    {"assigned", R"(\P{Cn})", kAll},
    {"c", R"(\p{C})", kAll & ~(kCf | kCo), true},
    {"other", R"(\p{C})", kAll & ~(kCf | kCo), true},
    {"cn", R"(\p{Cn})", kAll, true},
    {"unassigned", R"(\p{Cn})", kAll, true},
    {"alphabetic", R"(\p{Alphabetic})", kL | kNl},
    {"lowercase", R"(\p{Lowercase})", bit(UTF8PROC_CATEGORY_LL), false, true},
    {"uppercase", R"(\p{Uppercase})", bit(UTF8PROC_CATEGORY_LU), false, true},
    {"lc", R"(\p{Lu}\p{Ll}\p{Lt})", kLC},
    {"casedletter", R"(\p{Lu}\p{Ll}\p{Lt})", kLC},
};

struct Category {
  std::string_view code, name;  // "Lu", "uppercaseletter"
  uint32_t bits;
};
constexpr Category kCategories[] = {
    {"L", "letter", kL},
    {"M", "mark", kM},
    {"M", "combiningmark", kM},
    {"N", "number", kN},
    {"P", "punctuation", kP},
    {"S", "symbol", kS},
    {"Z", "separator", kZ},
    {"Lu", "uppercaseletter", bit(UTF8PROC_CATEGORY_LU)},
    {"Ll", "lowercaseletter", bit(UTF8PROC_CATEGORY_LL)},
    {"Lt", "titlecaseletter", bit(UTF8PROC_CATEGORY_LT)},
    {"Lm", "modifierletter", bit(UTF8PROC_CATEGORY_LM)},
    {"Lo", "otherletter", bit(UTF8PROC_CATEGORY_LO)},
    {"Mn", "nonspacingmark", bit(UTF8PROC_CATEGORY_MN)},
    {"Mc", "spacingmark", bit(UTF8PROC_CATEGORY_MC)},
    {"Me", "enclosingmark", bit(UTF8PROC_CATEGORY_ME)},
    {"Nd", "decimalnumber", kNd},
    {"Nl", "letternumber", kNl},
    {"No", "othernumber", bit(UTF8PROC_CATEGORY_NO)},
    {"Pc", "connectorpunctuation", kPc},
    {"Pd", "dashpunctuation", bit(UTF8PROC_CATEGORY_PD)},
    {"Ps", "openpunctuation", bit(UTF8PROC_CATEGORY_PS)},
    {"Pe", "closepunctuation", bit(UTF8PROC_CATEGORY_PE)},
    {"Pi", "initialpunctuation", bit(UTF8PROC_CATEGORY_PI)},
    {"Pf", "finalpunctuation", bit(UTF8PROC_CATEGORY_PF)},
    {"Po", "otherpunctuation", bit(UTF8PROC_CATEGORY_PO)},
    {"Sm", "mathsymbol", bit(UTF8PROC_CATEGORY_SM)},
    {"Sc", "currencysymbol", bit(UTF8PROC_CATEGORY_SC)},
    {"Sk", "modifiersymbol", bit(UTF8PROC_CATEGORY_SK)},
    {"So", "othersymbol", bit(UTF8PROC_CATEGORY_SO)},
    {"Zs", "spaceseparator", kZs},
    {"Zl", "lineseparator", 0},
    {"Zp", "paragraphseparator", 0},
    {"Cc", "control", 0},
    {"Cf", "format", kCf},
    {"Co", "privateuse", 0},
};

// Properties that both have under one name. PCRE2's tables alone say who is in them.
constexpr std::string_view kShared[] = {
    "asciihexdigit",
    "cased",
    "caseignorable",
    "dash",
    "diacritic",
    "emoji",
    "emojicomponent",
    "emojimodifier",
    "emojimodifierbase",
    "emojipresentation",
    "extendedpictographic",
    "extender",
    "hexdigit",
    "idcontinue",
    "ideographic",
    "idstart",
    "math",
    "quotationmark",
    "radical",
    "regionalindicator",
    "softdotted",
    "terminalpunctuation",
    "unifiedideograph",
    "variationselector",
    "xidcontinue",
    "xidstart",
};

/// Planes 2 and 3 are for ideographs of Han alone. The script of other younger characters is not
/// known.
CodeSet ideographs_for(std::string_view name) {
  if (name != "han" && name != "ideographic" && name != "unifiedideograph") return {};
  return intersection(younger_of(kL), {{0x20000, 0x3FFFF}});
}

const CodeSet& white_space() {
  static const CodeSet spaces = {
      {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
      {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
  return spaces;
}

NamedSet named(CodeSet plain, std::string properties, CodeSet younger) {
  NamedSet set;
  set.plain = std::move(plain);
  set.properties = std::move(properties);
  set.younger = std::move(younger);
  return set;
}

NamedSet made_of(const Entry& entry) {
  return {{},         std::string(entry.properties), younger_of(entry.younger), {}, entry.shrinks,
          entry.cased};
}

template <size_t N>
std::optional<NamedSet> find_in(const Entry (&entries)[N], std::string_view name) {
  for (const Entry& entry : entries)
    if (entry.name == name) return made_of(entry);
  return std::nullopt;
}

std::optional<NamedSet> common_set(std::string_view name) {
  if (name == "space") return named(white_space(), "", {});
  if (name == "xdigit") return named({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, "", {});
  if (name == "ascii") return named({{0, 0x7F}}, "", {});
  if (name == "blank") return named({{'\t', '\t'}}, "\\p{Zs}", younger_of(kZs));
  return find_in(kCommon, name);
}

}  // namespace

CodeSet united(const CodeSet& a, const CodeSet& b) {
  CodeSet all(a), out;
  all.insert(all.end(), b.begin(), b.end());
  std::sort(all.begin(), all.end(), [](auto& x, auto& y) { return x.first < y.first; });
  for (const CodeRange& range : all) {
    if (!out.empty() && range.first <= out.back().last + 1)
      out.back().last = std::max(out.back().last, range.last);
    else
      out.push_back(range);
  }
  return out;
}

CodeSet complement(const CodeSet& a) {
  CodeSet out;
  char32_t next = 0;
  for (const auto& [first, last] : a) {
    if (first > next) out.push_back({next, first - 1});
    next = last + 1;
  }
  if (next <= kLast) out.push_back({next, kLast});
  return out;
}

CodeSet intersection(const CodeSet& a, const CodeSet& b) {
  return complement(united(complement(a), complement(b)));
}

std::string class_of(const CodeSet& set) {
  std::string text;
  const auto add = [&](char32_t code) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "\\x{%X}", unsigned(code));
    text += hex;
  };
  const auto range = [&](char32_t first, char32_t last) {
    add(first);
    if (last > first) text += '-', add(last);
  };
  for (const auto& [first, last] : set) {  // PCRE2 allows no surrogate at an end
    const char32_t from = surrogate(first) ? 0xE000 : first, to = surrogate(last) ? 0xD7FF : last;
    if (from <= to) range(from, to);
  }
  return text;
}

std::string NamedSet::inside() const { return class_of(plain) + properties + class_of(younger); }

CodeSet NamedSet::all() const {
  CodeSet set = plain;
  if (!properties.empty()) set = united(set, matches(properties, all_characters()));
  return shrinks ? intersection(set, complement(younger)) : united(set, younger);
}

std::optional<NamedSet> posix_set(std::string_view name) {
  if (auto set = find_in(kPosix, name)) return set;
  return common_set(name);
}

std::optional<NamedSet> property_set(std::string_view written) {
  std::string name;
  for (const char c : written) {
    if (c == ' ' || c == '_' || c == '-') continue;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter) return std::nullopt;
    name += char(c | 0x20);
  }
  if (name == "any") return named({{0, kLast}}, "", {});
  if (name == "whitespace") name = "space";
  if (auto set = find_in(kProperties, name)) return set;
  if (auto set = common_set(name)) {
    // Of the numbers that are no digits, Oniguruma's \w has those of Latin-1, but not in a class.
    if (name == "word") set->alone = {{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}};
    return set;
  }
  for (const Category& c : kCategories) {
    std::string code(c.code);
    for (char& letter : code) letter = char(letter | 0x20);
    const bool cased = c.code == "Lu" || c.code == "Ll" || c.code == "Lt";
    if (name == code || name == c.name)
      return NamedSet{{}, concat("\\p{", c.code, "}"), younger_of(c.bits), {}, false, cased};
  }
  if (std::find(std::begin(kShared), std::end(kShared), name) != std::end(kShared)) {
    std::string property = concat("\\p{", name, "}");
    if (compiles(property)) return named({}, std::move(property), ideographs_for(name));
  }
  // A script: not its extensions, which PCRE2's \p{Han} alone would mean.
  std::string script = concat("\\p{sc:", name, "}");
  if (name.size() > 2 && compiles(script))
    return named({}, std::move(script), ideographs_for(name));
  return std::nullopt;
}

namespace {

std::u32string folded(char32_t code) {
  utf8proc_int32_t parts[8];
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(utf8proc_int32_t(code), parts, 8, UTF8PROC_CASEFOLD, &boundary);
  return count < 1 || count > 8 ? std::u32string(1, code) : std::u32string(parts, parts + count);
}

}  // namespace

bool folds_to_several(char32_t code) { return folded(code).size() > 1; }

const std::vector<std::u32string>& folds_of_several() {
  static const std::vector<std::u32string> folds = [] {
    std::vector<std::u32string> all;
    for (char32_t c = 0x80; c < 0x10000; ++c)  // all lie in the first plane
      if (!surrogate(c))
        if (auto text = folded(c); text.size() > 1) all.push_back(std::move(text));
    return all;
  }();
  return folds;
}

}  // namespace hearth::llm
