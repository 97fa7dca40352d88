"""Writes what Hugging Face's tokenizers make of tricky texts, for tests/llm/tokenizer_test.cpp.

Usage: python tools/goldens_tokenizer.py   (needs the package `tokenizers`; made with 0.23.3)
Output: tests/data/tokenizer_tiny_phi.jsonl   models/tiny-phi, like ../shared/goldens/tokenizers
        tests/data/tokenizer_variants.json    small tokenizers, one for each feature of the format
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from tokenizer_random import case

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n\n", "\r\n", " \n ", "a", " a", "a ", "  a  ", "\u00a0a\u00a0\u00a0b",
    "Once upon a time, there was a little girl named Lily.",
    "Tom's dog didn't bark; they'll say it's I'm you're we've he'd 'S 'tis '' 'a '",
    "12 345 6789 3.14159 1,000 x2 2x \u00bd \u00b2 \u0663\u0664",
    "tabs\tand\t\tmore  two   three    four     end    ",
    "line\nline\n\nline\r\nline \n line\n  indented\n",
    "!!!??? ... --- *** <<>> (a)[b]{c} @home #tag $5 %x ^y &z _u_ ~ ` | \\ / : ; \" '",
    "na\u00efve caf\u00e9 e\u0301 \u00c5ngstr\u00f6m \u0130stanbul stra\u00dfe",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u6211\u60f3 apple 1314 \u65e5\u672c\u8a9e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f603 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd 1\ufe0f\u20e3",
    "zero\u200bwidth\u200djoin\ufeffbom\u180emvs\u0085nel\u2028ls\u2029ps\u000bvt\u000cff\u001cfs",
    "a\u0000b\u0001c\u007f \ufffd \U0010fffd \ue000",
    "<|endoftext|>", "Hello<|endoftext|>World", " <|endoftext|> ", "<|endoftext", "<|endoftext|><|endoftext|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "[A]x [A] [B] x[B]y  [B]  z\u00e9[B] \u2003[C]\u2003 [C] [D][D]  [D]  a[W]b [W] \u00e9[W] [W]_ ([W])",
    "CamelCase snake_case kebab-case SCREAMING ThisIsIt HTTPServer don'T WE'LL ISN'T",
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass  # done\n",
]


def random_texts(count):
    rng = random.Random(2)
    pieces = [" ", "  ", "\n", "'", "s", "'ll", "a", "the", "The", "12", "7", ",", "!?", "\u00e9", "\u0301", "\u4e16",
              "\u00a0", "\u0663", "\U0001f600", "\t", "<|endoftext|>", "[A]", "[B]", "[W]", "\u200d", "\u180e", "\r\n"]
    return ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 24))) for _ in range(count)]


def dense(value):
    return json.dumps(value, separators=(",", ":"))


def write_tiny_phi():
    tokenizer = Tokenizer.from_file(str(ROOT / "models/tiny-phi/tokenizer.json"))
    with open(DATA / "tokenizer_tiny_phi.jsonl", "w") as out:
        for text in TEXTS + random_texts(40):
            out.write(dense(case(tokenizer, text)) + "\n")


def byte_alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


MERGES = ("t h,th e,\u0120 the,\u0120 t,i n,in g,\u0120 a,e r,a a,aa aa,l l,' s,' ll,o n,\u0120 \u0120,"
          "\u010a \u010a,1 2,\u0120 1,\u00c3 \u00a9,\u00e4 \u00b8,\u00f0 \u0141,\u00f0\u0141 \u013a,w a,s e,"
          "r e,d o,! ?,o m,T om,om e,th er,wa s,in e,er e,e re,\u0120 do")


def byte_model(**options):
    """All bytes and a few merges, written by hand so that they never change."""
    vocab = {c: i for i, c in enumerate(byte_alphabet())}
    merges = [tuple(pair.split(" ")) for pair in MERGES.split(",")]
    for left, right in merges:
        assert left in vocab and right in vocab, (left, right)
        vocab.setdefault(left + right, len(vocab))
    vocab["\u0120upon"] = len(vocab)  # no merge leads there, only ignore_merges
    return models.BPE(vocab, merges, **options)


def character_model(**options):
    vocab = {c: i for i, c in enumerate(["?"] + [chr(c) for c in range(ord("a"), ord("z") + 1)] + [" ", "\u00e9", "\u4e16"])}
    merges = [("t", "h"), ("th", "e"), (" ", "a"), ("e", "r")]
    for a, b in merges:
        vocab[a + b] = len(vocab)
    return models.BPE(vocab, merges, unk_token="?", **options)


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def variants():
    def make(model, pre=None, post=None, tokens=(), decoder=True):
        tokenizer = Tokenizer(model)
        if pre is not None:
            tokenizer.pre_tokenizer = pre
        if post is not None:
            tokenizer.post_processor = post
        if decoder:
            tokenizer.decoder = decoders.ByteLevel()
        for token in tokens:
            (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        return tokenizer

    level = pre_tokenizers.ByteLevel
    bytes_only = level(add_prefix_space=False, use_regex=False)
    flags = [AddedToken("[A]", normalized=True), AddedToken("[B]", lstrip=True, rstrip=True, special=True),
             AddedToken("[C]", lstrip=True, normalized=False), AddedToken("[D]", rstrip=True),
             AddedToken("[W]", single_word=True), AddedToken("[WW", single_word=False),
             AddedToken("the", single_word=True), AddedToken("<|endoftext|>", special=True)]
    size = Tokenizer(byte_model()).get_vocab_size()
    bos, eos = ("<s>", size), ("</s>", size + 1)
    template = processors.TemplateProcessing(single="<s> $A </s> </s>", special_tokens=[bos, eos])
    ends = [AddedToken("<s>", special=True), AddedToken("</s>", special=True)]
    yield "byte level", make(byte_model(), level(add_prefix_space=False))
    yield "prefix space", make(byte_model(), level(add_prefix_space=True), tokens=flags)
    yield "no expression", make(byte_model(), bytes_only)
    yield "added tokens", make(byte_model(), level(add_prefix_space=False), tokens=flags)
    yield "template", make(byte_model(), level(add_prefix_space=False), template, ends)
    yield "template in a sequence", make(byte_model(), level(add_prefix_space=False), processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]), ends)
    yield "roberta", make(byte_model(), level(add_prefix_space=True), processors.RobertaProcessing(
        eos, bos), ends)
    yield "llama 3", make(byte_model(ignore_merges=True), pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), bytes_only]))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"split {behavior}{' inverted' if invert else ''}", make(byte_model(), pre_tokenizers.Sequence(
                [pre_tokenizers.Split(Regex(r"\s|[aeiou]"), behavior, invert), level(add_prefix_space=True)]))
    yield "split at a text", make(byte_model(), pre_tokenizers.Sequence(
        [pre_tokenizers.Split(".", "merged_with_previous"), pre_tokenizers.Split(Regex(r"\S+"), "isolated"), bytes_only]))
    yield "characters", make(character_model(), decoder=False)
    yield "characters, unknown ones fused", make(character_model(fuse_unk=True), pre_tokenizers.Split(
        Regex(r"\s+"), "merged_with_next"), decoder=False)


def write_variants():
    out = []
    for name, tokenizer in variants():
        texts = TEXTS + random_texts(6)
        description = json.loads(tokenizer.to_str())
        out.append({"name": name, "tokenizer": description, "cases": [case(tokenizer, t) for t in texts]})
    # The models are few, their users many: each model once.
    shared = []
    for entry in out:
        model = entry["tokenizer"]["model"]
        if model not in shared:
            shared.append(model)
        entry["tokenizer"]["model"] = shared.index(model)
    with open(DATA / "tokenizer_variants.json", "w") as file:
        file.write('{"models": [\n' + ",\n".join(dense(m) for m in shared) + '\n],\n"variants": [\n')
        file.write(",\n".join(dense(e) for e in out) + "\n]}\n")


write_tiny_phi()
write_variants()
