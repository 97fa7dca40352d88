"""Random tokenizers and texts, for comparing hearth with Hugging Face's tokenizers: any parts of
tokenizer.json with any options, and lines that are hard to cut. Used by the other tools
for tokenizers."""

import json
import lzma
import os
import random
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("HEARTH_SHARED", ROOT / "../shared"))
MULTILINGUAL = [
    "Na\u00efve caf\u00e9s in \u0130stanbul sell cr\u00e8me br\u00fbl\u00e9e for \u20ac5, stra\u00dfe \u00c5ngstr\u00f6m e\u0301 o\u0308.",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0415\u0449\u0451 \u0440\u0430\u0437: 12,5 \u0440\u0443\u0431. \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5.",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u6211\u60f3 apple 1314 \u65e5\u672c\u8a9e\u30c6\u30ad\u30b9\u30c8 \u3072\u3089\u304c\u306a \ud55c\uad6d\uc5b4 \u110b\u1161\u11ab.",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0661\u0662\u0663 \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0ba8\u0bbf",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd 1\ufe0f\u20e3 \U0001f1e9\U0001f1ea \ufb01 \u2460 \u2168 \u00bd x\u00b2 \uff21\uff42\uff43 \u33a1 \u1e9b\u0323 \ufdfa",
    "def f(x):\n    return x + 1  # don't\n\n\tclass A: pass\r\n  <b>&amp;</b> http://a.b/c?d=e_f-g",
]
PIECES = [
    " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u2028", "\u0085", "\u180e", "\u200b", "\ufeff", "\u2581",
    "'", "'s", "'ll", "n't", "a", "b", "the", "The", "THE", " the", "once", "upon", "ing", "er", "I", "12", "7", "3.14", "2024", ",", ".", "!", "?!", "...", "-",
    "_", "#", "$", "%", "(", ")", "<", ">", "<0x41>", "<unk>", "<s>", "</s>", "[UNK]", "[CLS]", "##", "##ing", "</w>", "|", "\\", "/", "@", "~", "`", "^",
    "\u00e9", "e\u0301", "\u0301", "\u0308\u0301", "\u0323\u0307", "\u00c5", "A\u030a", "\u212b", "\u0130", "\u0131", "\u00df", "\u1e9e", "\u017f", "\u01c5", "\u03a3", "\u03c2", "\ufb01", "\u2167", "\u2460", "\u00bd", "\u00b2",
    "\u0663", "\u0967", "\u4e00", "\u4e16\u754c", "\u3042", "\u30a2", "\u30fc", "\ud55c", "\u1112\u1161\u11ab", "\u0e01\u0e33", "\u0915\u094d", "\u0937\u093f", "\u0628\u0650", "\u05d0\u05b8", "\U0001f600",
    "\U0001f468\u200d\U0001f469", "\U0001f3fd", "\ufe0f", "\u20e3", "\U0001f1e9", "\U0001f1ea", "\u200d", "\u200c", "\u00ad", "\u061c", "\x00", "\x01", "\x1b", "\x7f", "\x9f", "\ufffd", "\U0010fffd", "\ue000",
    "\u2019", "\u201c", "\u2014", "\u3002", "\uff0c", "\uff01", "\u00bf", "\u00a7", "\u20ac", "\u2211", "\u00d7", "\uff21", "\u3231", "\ufdfa", "\u1100\u1161", "\uac00\u11a8", "\U0001d400", "\U00020000", "\U0002f800", "\u2126",
]


def case(tokenizer, text):
    """What a tokenizer makes of a text, in the form of the goldens."""
    ids = tokenizer.encode(text).ids
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    result = {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
    if plain != ids:
        result["plain_ids"] = plain
    skipped = tokenizer.decode(ids, skip_special_tokens=True)
    if skipped != result["decoded"]:
        result["decoded_skipping_special"] = skipped
    return result


def texts(rng, count):
    """Lines of all kinds: whole sentences, pieces in any order, single characters of all planes."""
    lines = []
    for _ in range(count):
        kind = rng.random()
        if kind < 0.15:
            lines.append(rng.choice(MULTILINGUAL))
        elif kind < 0.85:
            lines.append("".join(rng.choice(PIECES) for _ in range(rng.randint(0, 24))))
        elif kind < 0.9:
            lines.append(rng.choice(PIECES) * rng.randint(1, 90))
        else:
            ranges = [(0, 0x80), (0x80, 0x250), (0x300, 0x600), (0x900, 0x1200), (0x2000, 0x3400), (0xA640, 0xAC00), (0xF900, 0x10000), (0x1F000, 0x1FB00)]
            codes = (rng.randrange(*rng.choice(ranges)) for _ in range(rng.randint(1, 12)))
            lines.append("".join(chr(c) for c in codes))
    return lines


def corpus():
    with lzma.open(SHARED / "data/stories.txt.xz", "rt") as file:
        return file.read(300_000).splitlines() + 30 * MULTILINGUAL


def trained(size=400):
    """One model of each kind and option that a trainer makes, as JSON, by name."""
    lines = corpus()
    made = {}

    def train(name, model, trainer, pre=None, norm=None):
        tokenizer = Tokenizer(model)
        if pre:
            tokenizer.pre_tokenizer = pre
        if norm:
            tokenizer.normalizer = norm
        tokenizer.train_from_iterator(lines, trainer)
        made[name] = json.loads(tokenizer.to_str())["model"]

    meta = pre_tokenizers.Metaspace()
    split = pre_tokenizers.BertPreTokenizer()
    quiet = {"show_progress": False}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    train("bytes", models.BPE(), trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, **quiet), pre_tokenizers.ByteLevel())
    train("characters", models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=size, limit_alphabet=120, special_tokens=["<unk>"], **quiet), meta)
    fallback = [f"<0x{b:02X}>" for b in range(256)]
    train("fallback", models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
          trainers.BpeTrainer(vocab_size=size + 256, limit_alphabet=60, special_tokens=["<unk>", "<s>", "</s>"] + fallback, **quiet), meta)
    train("affixes", models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"),
          trainers.BpeTrainer(vocab_size=size + 100, limit_alphabet=90, special_tokens=["<unk>"], continuing_subword_prefix="##", end_of_word_suffix="</w>", **quiet), split)
    train("suffix", models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
          trainers.BpeTrainer(vocab_size=size, limit_alphabet=90, special_tokens=["<unk>"], end_of_word_suffix="</w>", **quiet), split)
    train("unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], **quiet), meta, normalizers.NFKC())
    train("words", models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=size, limit_alphabet=90, special_tokens=["[UNK]", "[CLS]", "[SEP]"], **quiet), split,
          normalizers.BertNormalizer())
    train("level", models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=size, special_tokens=["<unk>", "<s>"], **quiet), pre_tokenizers.Whitespace())
    # Variants that no trainer makes.
    more = json.loads(json.dumps(made["fallback"]))
    more["fuse_unk"] = False
    for b in range(0x80, 0x100, 3):  # not every byte has its token
        more["vocab"].pop(f"<0x{b:02X}>")
    made["some_bytes"] = dict(more, vocab={t: i for i, t in enumerate(more["vocab"])})
    made["unigram_bytes"] = json.loads(json.dumps(made["unigram"]))
    made["unigram_bytes"]["vocab"] += [[token, -20.0] for token in fallback]
    made["unigram_bytes"]["byte_fallback"] = True
    made["ignoring"] = dict(made["characters"], ignore_merges=True)
    made["fused"] = dict(made["characters"], fuse_unk=True)
    made["no_unknown"] = dict(made["characters"], unk_token=None)
    return made


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
EXPRESSIONS = [r"\s+", r"\d", r"\w+|[^\w\s]+", r"[^\s]+", r"(?=[A-Z])", r"\p{L}+", r"'s|\s", r"[\r\n]+", r" ?\p{L}+", r"x*", r"\p{P}", r"[aeiou]", r"\s{2,}"]


def pattern(rng):
    if rng.random() < 0.5:
        return {"String": rng.choice([" ", "a", "th", ".", "\u2581", "e\u0301", "\n", "  ", "'"])}
    return {"Regex": rng.choice(EXPRESSIONS)}


def random_normalizer(rng, charsmap=None):
    def one():
        kind = rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Replace", "Prepend", "BertNormalizer", "Nmt", "ByteLevel", "Precompiled"])
        flip = lambda: rng.random() < 0.5
        if kind == "Strip":
            return {"type": kind, "strip_left": flip(), "strip_right": flip()}
        if kind == "Replace":
            return {"type": kind, "pattern": pattern(rng), "content": rng.choice(["", " ", "\u2581", "_", "ab"])}
        if kind == "Prepend":
            return {"type": kind, "prepend": rng.choice(["\u2581", " ", "x"])}
        if kind == "BertNormalizer":
            return {"type": kind, "clean_text": flip(), "handle_chinese_chars": flip(), "strip_accents": rng.choice([None, True, False]), "lowercase": flip()}
        if kind == "Precompiled":
            return {"type": kind, "precompiled_charsmap": charsmap} if charsmap else {"type": "NFKC"}
        return {"type": kind}

    count = rng.choice([0, 1, 1, 2, 3])
    if count == 0:
        return None
    return one() if count == 1 else {"type": "Sequence", "normalizers": [one() for _ in range(count)]}


def metaspace(rng):
    return {"type": "Metaspace", "replacement": rng.choice(["\u2581", "\u2581", "_"]), "prepend_scheme": rng.choice(["first", "never", "always"]), "split": rng.random() < 0.7}


def random_pre_tokenizer(rng):
    def one():
        kind = rng.choice(["ByteLevel", "Digits", "Metaspace", "Whitespace", "WhitespaceSplit", "Punctuation", "BertPreTokenizer", "Split", "CharDelimiterSplit", "FixedLength"])
        flip = lambda: rng.random() < 0.5
        if kind == "ByteLevel":
            return {"type": kind, "add_prefix_space": flip(), "trim_offsets": True, "use_regex": flip()}
        if kind == "Digits":
            return {"type": kind, "individual_digits": flip()}
        if kind == "Metaspace":
            return metaspace(rng)
        if kind == "Punctuation":
            return {"type": kind, "behavior": rng.choice(BEHAVIORS)}
        if kind == "Split":
            return {"type": kind, "pattern": pattern(rng), "behavior": rng.choice(BEHAVIORS), "invert": flip()}
        if kind == "CharDelimiterSplit":
            return {"type": kind, "delimiter": rng.choice([" ", "a", "\u2581", "."])}
        if kind == "FixedLength":
            return {"type": kind, "length": rng.randint(1, 6)}
        return {"type": kind}

    count = rng.choice([0, 1, 1, 1, 2, 3])
    if count == 0:
        return None
    return one() if count == 1 else {"type": "Sequence", "pretokenizers": [one() for _ in range(count)]}


def random_decoder(rng):
    def one():
        kind = rng.choice(["ByteLevel", "Metaspace", "ByteFallback", "Fuse", "Replace", "Strip", "WordPiece", "BPEDecoder"])
        if kind == "Metaspace":
            return metaspace(rng)
        if kind == "Replace":
            return {"type": kind, "pattern": pattern(rng), "content": rng.choice(["", " ", "_"])}
        if kind == "Strip":
            return {"type": kind, "content": rng.choice([" ", "a", "\u2581"]), "start": rng.randint(0, 2), "stop": rng.choice([0, 0, 1])}
        if kind == "WordPiece":
            return {"type": kind, "prefix": rng.choice(["##", "", "\u2581"]), "cleanup": rng.random() < 0.5}
        if kind == "BPEDecoder":
            return {"type": kind, "suffix": rng.choice(["</w>", "a"])}
        return {"type": kind}

    count = rng.choice([0, 1, 1, 2, 3, 4])
    if count == 0:
        return None
    return one() if count == 1 else {"type": "Sequence", "decoders": [one() for _ in range(count)]}


def random_added(rng, size):
    contents = ["<s>", "</s>", "[CLS]", "the", "\u00e9", "<|x|>", "a b", "once", "\u2581the", "THE", "_", "12", "\u4e16", "<", "<s", " "]
    tokens = []
    for content in rng.sample(contents, rng.randint(0, 5)):
        special = rng.random() < 0.5
        flag = lambda chance: rng.random() < chance
        tokens.append({"content": content, "single_word": flag(0.3), "lstrip": flag(0.3), "rstrip": flag(0.3), "normalized": False if special else flag(0.6), "special": special})
    return tokens


def random_tokenizer(rng, made, charsmap=None):
    """The text of a random tokenizer.json; None where tokenizers does not take it."""
    model = made[rng.choice(sorted(made))]
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": random_normalizer(rng, charsmap), "pre_tokenizer": random_pre_tokenizer(rng),
            "post_processor": None, "decoder": random_decoder(rng), "model": model}
    if rng.random() < 0.3:
        names = list(model["vocab"])[:2] if isinstance(model["vocab"], dict) else [t for t, _ in model["vocab"][:2]]
        special = {n: {"id": n, "ids": [i], "tokens": [n]} for i, n in enumerate(names)}
        pieces = [{"SpecialToken": {"id": names[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": names[1], "type_id": 0}}]
        file["post_processor"] = {"type": "TemplateProcessing", "single": pieces, "pair": pieces + [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(file))
        from tokenizers import AddedToken
        for token in random_added(rng, 0):
            special = token.pop("special")
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([AddedToken(token.pop("content"), special=special, **token)])
        return tokenizer.to_str()
    except BaseException:  # a panic of the library is no Exception
        return None
