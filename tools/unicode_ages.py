"""Writes hearth/llm/tokenizer/unicode_ages.inc: the characters of which Hugging Face's tokenizers,
by older or younger tables of Unicode, say another thing than libutf8proc.

Usage: python tools/unicode_ages.py   (needs tokenizers and libutf8proc; made with 0.23.3, 2.8.0)
"""

import ctypes
from pathlib import Path

from tokenizers import normalizers, pre_tokenizers

OUT = Path(__file__).resolve().parent.parent / "hearth/llm/tokenizer/unicode_ages.inc"
lib = ctypes.CDLL("libutf8proc.so.2")
lib.utf8proc_map.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
free = ctypes.CDLL(None).free
free.argtypes = [ctypes.c_void_p]
STABLE, COMPAT, DECOMPOSE = 1 << 1, 1 << 2, 1 << 4


def decomposed(text):
    out = ctypes.c_void_p()
    data = text.encode()
    size = lib.utf8proc_map(data, len(data), ctypes.byref(out), STABLE | COMPAT | DECOMPOSE)
    result = ctypes.string_at(out, size).decode()
    free(out)
    return result


def main():
    bert = normalizers.BertNormalizer
    clean = bert(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    accents = bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    strip, lower, nfkd = normalizers.StripAccents(), normalizers.Lowercase(), normalizers.NFKD()
    digits, punctuation = pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()
    MN, ND, PC, CC = 6, 9, 12, 26  # of utf8proc's categories
    rules = {
        "Marks": lambda c, s, k: (strip.normalize_str(s) == "") != (MN <= k <= MN + 2),
        "NonspacingMarks": lambda c, s, k: (accents.normalize_str("a" + s) == "a") != (k == MN),
        "Others": lambda c, s, k: (clean.normalize_str(s) == "") != (k in (CC, CC + 1, CC + 3) or c == 0xFFFD),
        "Numbers": lambda c, s, k: (len(digits.pre_tokenize_str("a" + s)) == 2) != (ND <= k <= ND + 2),
        "Punctuation": lambda c, s, k: (len(punctuation.pre_tokenize_str("a" + s)) == 2) != (PC <= k <= PC + 6),
        "Compatible": lambda c, s, k: nfkd.normalize_str(s) != decomposed(s),
    }
    found = {name: [] for name in rules}
    cased = []  # first, last, how far their small letters are
    # The symbols of ASCII, its control characters and U+0130 are told apart in the code.
    for code in [*range(0x131, 0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]:
        kind = lib.utf8proc_category(code)
        small = lower.normalize_str(chr(code))
        if small != chr(lib.utf8proc_tolower(code)):
            delta = ord(small) - code
            if cased and cased[-1][1] == code - 1 and cased[-1][2] == delta:
                cased[-1][1] = code
            else:
                cased.append([code, code, delta])
        for name, differs in rules.items():
            if not differs(code, chr(code), kind):
                continue
            ranges = found[name]
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    with open(OUT, "w") as out:
        out.write("// Made by tools/unicode_ages.py. Of these characters Hugging Face's tokenizers 0.23.3 say the\n")
        out.write("// opposite of what libutf8proc 2.8 (Unicode 15) does: their tables of marks and punctuation are of\n")
        out.write("// Unicode 8 and 9, those of numbers and letters of 16.\n")
        for name, ranges in found.items():
            out.write(f"constexpr CodeRange k{name}OfAnotherAge[] = {{\n")
            line = "   "
            for first, last in ranges:
                item = f" {{0x{first:X}, 0x{last:X}}},"
                if len(line) + len(item) > 100:
                    out.write(line + "\n")
                    line = "   "
                line += item
            out.write(line + "};\n")
            print(name, len(ranges))
        out.write("// And capital letters, with the way to their small ones.\n")
        out.write("constexpr struct {\n  char32_t first, last;\n  int way;\n} kCapitalsOfAnotherAge[] = {\n")
        for first, last, delta in cased:
            out.write(f"    {{0x{first:X}, 0x{last:X}, {delta}}},\n")
        out.write("};\n")


main()
