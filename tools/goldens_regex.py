"""Writes what Hugging Face's tokenizers (Oniguruma inside) match with tricky patterns, for
tests/llm/onig_test.cpp.

Usage: python tools/goldens_regex.py   (needs the package `tokenizers`; made with 0.23.3)
Output: tests/data/regex_onig.json     patterns, texts, and the matches in them
        tests/data/regex_sets.json     the characters of each class that has a name
"""

import json
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"

MODELS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen35": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek_v3": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek_cjk": r"[一-龥\u3040-ゟ゠-ヿ]+",
    "deepseek_llm": r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+$|\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+|[\r\n]",
    "kimi": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "digits": r"\p{Nd}{1,3}(?=(?:\p{Nd}{3})*(?!\p{Nd}))",
}

PATTERNS = list(MODELS.values()) + [
    # quantifiers
    "a{1,2}+", "a{2}+", "a{,2}", "a{2,}", "a{,}", "a{", "a{x}", "a{2}{3}", "a{2,1}", "a{3}?", "a{1,3}?", "a++b?", "a?+",
    "a*+", "a{,2}?", "a{,2}+", "a**", "a+*", "(?:a*)*", "a{2}{,2}", "a{2}?+", "x{0}a", "a{2,}?", "{", "}", "a{ 1}", "a{1 }", "(ab){2}?b",
    # options
    "(?m)a.b", "(?m:a.b)c?", "a.b", "(?x) a b # not this", "(?x)a[ b]", "(?i)AB", "a(?i)b|c", "(a(?i)b|c)d", "(?i-m:A)b",
    "(?i)k", "(?i)s", "(?i)[a-f]+", "(?i)[^a-f]+", "(?im)a.B", "(?-i)a", "(?i)\u00e9", "(?i:\u03c3)", "(?mi-x)A.", "(?i)\\p{Lu}",
    "(?#c)a", "a(?#c)+", "(?x)a +",
    # escapes
    r"\H+", r"\h+", r"\R", r"\N", r"\O", r"\w+", r"\W+", r"\b", r"\B", r"\ba", r"\d+", r"\D+", r"\s+", r"\S+", r"\x41",
    r"\x{e9}", r"\u00e9", r"\101", r"\o{101}", r"\cA", r"\e", r"\a", r"\f", r"\v", r"\t", r"\0", r"\_", r"\-", r"\i", r"\q",
    r"\pL", r"\/", r"\é", r"\x4", r"\011",
    # classes with a name
    r"[[:punct:]]+", r"[[:space:]]+", r"[[:alpha:]]+", r"[[:digit:]]+", r"[[:word:]]+", r"[[:alnum:]]+", r"[[:upper:]]+",
    r"[[:lower:]]+", r"[[:cntrl:]]+", r"[[:graph:]]+", r"[[:print:]]+", r"[[:xdigit:]]+", r"[[:blank:]]+", r"[[:ascii:]]+",
    r"[[:^alpha:]]+", r"[^[:alpha:]]+", r"[[:alpha:]_]+", r"[:alpha:]+", r"\p{L}+", r"\p{^L}+", r"\P{L}+", r"\P{^L}+",
    r"\p{Letter}+", r"\p{lu}", r"\p{Uppercase_Letter}", r"\p{l u}", r"\p{Han}+", r"\p{Greek}+", r"\p{Alphabetic}+",
    r"\p{Emoji}", r"\p{Punct}+", r"\p{Space}+", r"\p{Alnum}+", r"\p{Any}", r"\p{M}+", r"\p{Nd}", r"\p{Word}+", r"\p{S}",
    r"\p{White_Space}", r"\p{Hiragana}+", r"\p{Latin}+", r"\p{Cyrillic}+", r"\p{LC}+",
    # classes
    r"[a-c&&[^b]]+", r"[a[bc]]+", r"[^a[bc]]+", r"[a&&]+", r"[]a]+", r"[^]a]+", r"[a-]+", r"[-a]+", r"[a\]b]+", r"[\w-]+",
    r"[+--]+", r"[\s\S]", r"[^\S\n]+", r"[^\s\S]", r"[\h]+", r"[\H]+", r"[\R]", r"[\X]", r"[\b]", r"[\v]", r"[\e]",
    r"[\x41-\x43]+", r"[\u4e00-\u9fa5]+", r"[\p{L}&&\p{Lu}]+", r"[a-z&&[aeiou]]+", r"[a&b]+", r"[\W]+", r"[^\W]+", r"[\D\d]",
    r"[^\W\d_]+", r"[\P{Word}]+", r"[^[:^word:]]+", r"[\p{L}\P{N}]+", r"[\P{L}]+", r"[^\P{L}]+", r"[a-z&&^b]+", r"[[^a]b]+", r"[.]+", r"[(|)]+", r"[$^]+",
    r"[\d\s]+", r"[\101]", r"[a\-z]+", r"[é-ü]+",
    # anchors, groups, looking around
    "^b", "a$", "^", "$", r"\Ab", r"a\Z", r"a\z", r"\Ga", r"(?<name>a)\k<name>", r"(a)\1", r"(a)(b)?\1", r"(?<n>a)(b)\k<n>",
    r"(?'q'a)\k'q'", "(?>a+)b", "(?>a|ab)c", "(?=a)", "(?<=b)a", "(?<!b)a", "(?<=b|cc)a", "(?!a).", "a|", "|a", "", "(?i)",
    "a]", "(a|b)+c", "(?:)", "()a", "(?<=\\s)a", "(?<!\\S)a+(?!\\S)",
]

# Oniguruma takes these; hearth refuses them by name, since PCRE2 would mean something else.
UNSUPPORTED = [
    r"\X", r"\y", r"\Y", r"a\Kb", r"(?~ab)", r"\g<1>(a)", r"(?<a>x\g<a>?)", "(*FAIL)", r"\C-A", r"\M-a", "(?y{g})a",
    "(?W)\\w+", "(?P)\\w+", "(?D)\\d", "(?S)\\s", r"\p{InBasicLatin}", r"\p{In_Basic_Latin}", "(?i:ss)", "(?i)\u00df",
    "(?i)stra\u00dfe", "(?i)ff", "(?i)[\u00df]", "(?i)[[a]b]", "(?i)[\\p{Lu}]", "a+?*",
    "(?<=b*)a", r"(?<a>a)(?<a>b)", r"(a\1)", r"\x{110000}",
]

# Neither takes these.
REFUSED = [
    "(?s)a.b", "(?a)\\w+", "(?^i:a)", "(a", "a)", "[a", "[", "[]", "*a", "+a", "?a", "{2}a", "(*", r"\p{Foo}", r"\p{", "[[:foo:]]",
    "[z-a]", r"[\d-a]", r"[a-\d]", r"[[a]", r"\8", r"(?<a>a)(b)\1", r"\p{script=Han}", r"\p{sc=Han}", r"\p{IsHan}",
    r"\p{L&}", r"\p{xposixpunct}", "(?", "(?<", "(?<a", "(?<>a)", "\\", r"\u12", r"\k<a>", "a{100001}", "(?=a)*", r"\b+", "^*", "(?<=a)+", r"\C", r"\Ma",
    r"(?(1)a|b)",
]

TEXTS = [
    "aaaaaab aab abab ccad b\na\nbc ab\r\n\nb",
    "I'll say it's Tom'S, 1234567 x_1 (don't!) -- [a]{2,3} a{,} a{x} a]b} \\ / | ^ $ + - : & ,",
    " \t a\u0301e\u0301\u0345 1\u0663\u00b2\u2160\u24b6 \u203f\u00aa\u017f\u212a \u180e\u0085\u200b\u00a0\u3000\u2028z\x0b\x0c\x1b\x01\x07\x00",
    "\u4e2d\u6587\u3042\u30a2\u30fc\u3005\uff01 \u00e9\u00c9\u03c3\u03c2\u03a3 \u0401\u0451 \U0001f600\u200d\U0001f469\ufe0f \u00ac\u20ac\u2010\u00bf ABC \u00fc",
    "ss SS \u00df \u1e9e ff \ufb00 st xyzABF09_gG A.B a,b (a|b) \x41\x08\u0100",
]


def split(pattern, text, behavior="isolated", invert=False):
    return [piece for piece, _ in pre_tokenizers.Split(Regex(pattern), behavior, invert).pre_tokenize_str(text)]


def accepted(pattern):
    try:
        split(pattern, "a")
        return True
    except BaseException:
        return False


def write_patterns():
    cases = []
    for pattern in PATTERNS:
        # Pieces are cut at every match; the matches alone, without empty ones, tell which pieces are.
        cases.append({"pattern": pattern, "pieces": [split(pattern, text) for text in TEXTS],
                      "matches": [split(pattern, text, "removed", True) for text in TEXTS]})
    assert all(accepted(p) for p in UNSUPPORTED), [p for p in UNSUPPORTED if not accepted(p)]
    assert not any(accepted(p) for p in REFUSED), [p for p in REFUSED if accepted(p)]
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    rest = json.dumps({"texts": TEXTS, "unsupported": UNSUPPORTED, "refused": REFUSED}, separators=(",", ":"))
    (DATA / "regex_onig.json").write_text('{"cases":[\n' + lines + "],\n" + rest[1:] + "\n")


NAMES = [r"\w", r"\d", r"\s", r"\h"] + [
    f"[:{n}:]" for n in "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit".split()] + [
    r"\p{%s}" % n for n in "L M N P S Z C LC Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co "
    "Cn Assigned Any Punct Word Alphabetic Uppercase Lowercase Han Hiragana Katakana Latin Greek Cyrillic Arabic "
    "Common Inherited Emoji Ideographic".split()]


def write_sets():
    text = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    sets = {}
    for name in NAMES:
        pattern = f"[{name}]+" if name.startswith("[:") else name + "+"
        ranges = []
        for piece in split(pattern, text, "removed", True):
            # Characters follow each other, but for the surrogates, which no text has.
            first, last = ord(piece[0]), ord(piece[-1])
            parts = [(first, 0xD7FF), (0xE000, last)] if first < 0xD800 and last > 0xDFFF else [(first, last)]
            ranges += [f"{a:x}-{b:x}" if a < b else f"{a:x}" for a, b in parts]
        sets[name] = " ".join(ranges)
    (DATA / "regex_sets.json").write_text(json.dumps(sets, indent=0) + "\n")


write_patterns()
write_sets()
