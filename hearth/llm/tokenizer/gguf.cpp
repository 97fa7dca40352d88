// The tokenizer of a GGUF file: of tokens, their types and scores, merges, and the name of a split.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "hearth/base/error.h"
#include "hearth/base/listed.h"
#include "hearth/io/gguf.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/gguf_splits.h"
#include "hearth/llm/tokenizer/parts.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {
namespace {

using nlohmann::json;
using Texts = std::vector<std::string_view>;

enum Type { normal = 1, unknown, control, user_defined, unused, byte };

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, sentencepiece's

std::string key(const char* of) { return std::string("tokenizer.ggml.") + of; }

struct Tokens {
  Texts texts;
  std::vector<int> types;
  std::vector<bool> stops;  // ends an answer, and is special whatever its type says

  explicit Tokens(const Gguf& file) : texts(file.texts(key("tokens"))) {
    ensure(!texts.empty(), key("tokens"), " is missing");
    const auto given = file.numbers(key("token_type"));
    ensure(given.empty() || given.size() >= texts.size(), key("token_type"), " has ", given.size(),
           " numbers for ", texts.size(), " tokens");
    types.assign(texts.size(), normal);
    for (size_t i = 0; i < texts.size() && !given.empty(); ++i)
      types[i] = given[i] >= 1 && given[i] <= 6 ? int(given[i]) : int(unused);
    for (size_t i = 0; i < texts.size(); ++i)
      if (!valid_utf8(texts[i])) ensure(false, key("tokens"), ": token ", i, " is not UTF-8");
    for (const int id : gguf_stop_ids(file))
      if (types[size_t(id)] == normal) types[size_t(id)] = control;
  }
  bool special(size_t id) const { return types[id] == control || types[id] == unknown; }

  /// All tokens; `text(id)` is what one is called, and one in the model may be made of a text.
  template <class Text>
  Vocab vocab(const Text& text, bool all_in_model = false) const {
    std::vector<Token> all;
    all.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const bool empty = texts[i].empty();
      all.push_back({int(i), empty ? concat("[EMPTY_", i, "]") : text(i),
                     (types[i] == normal || all_in_model) && !empty});
    }
    return Vocab(std::move(all));
  }
  std::vector<AddedToken> added(bool newlines = false) const {
    std::vector<AddedToken> all;
    for (size_t i = 0; i < texts.size(); ++i) {
      const bool lines = newlines && !texts[i].empty() &&
                         texts[i].find_first_not_of('\n') == std::string_view::npos;
      if ((special(i) || types[i] == user_defined || lines) && !texts[i].empty())
        all.push_back({.id = int(i),
                       .content = std::string(texts[i]),
                       .normalized = false,
                       .special = special(i)});
    }
    return all;
  }
};

std::optional<int> id_at(const Gguf& file, const char* of, size_t tokens) {
  const auto id = file.integer(key(of));
  return id && *id >= 0 && *id < int64_t(tokens) ? std::optional(int(*id)) : std::nullopt;
}

void fill_config(const Gguf& file, const Tokens& tokens, TokenizerConfig& config) {
  const auto name = [&](const char* of, std::string& to) {
    if (const auto id = id_at(file, of, tokens.texts.size())) to = tokens.texts[size_t(*id)];
  };
  name("bos_token_id", config.bos_token);
  name("eos_token_id", config.eos_token);
  name("padding_token_id", config.pad_token);
  name("unknown_token_id", config.unk_token);
  config.add_bos_token = file.flag(key("add_bos_token"));
  config.add_eos_token = file.flag(key("add_eos_token"));
  if (const auto text = file.text("tokenizer.chat_template")) config.chat_template = *text;
}

/// BOS before a text and EOS behind it, where the file or its kind says so.
Surround surround(const Gguf& file, const Tokens& tokens, bool add_bos, bool add_eos,
                  const char* begin = "bos_token_id", const char* end = "eos_token_id") {
  Surround around;
  const auto bos = id_at(file, begin, tokens.texts.size()),
             eos = id_at(file, end, tokens.texts.size());
  if (bos && file.flag(key("add_bos_token")).value_or(add_bos)) around.prefix = {*bos};
  if (eos && file.flag(key("add_eos_token")).value_or(add_eos)) around.suffix = {*eos};
  return around;
}

std::string as_is(const Tokens& tokens, size_t id) { return std::string(tokens.texts[id]); }

PreTokenizer pre_tokenizer(const GgufSplit& split) {
  json steps = json::array();
  for (const std::string& expression : split.expressions)
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", expression}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  if (split.bytes)
    steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  return PreTokenizer::read({{"type", "Sequence"}, {"pretokenizers", steps}}, split.bytes);
}

TokenizerParts bpe(const Gguf& file, const Tokens& tokens, std::string_view split_name) {
  const GgufSplit* split = find_gguf_split(split_name);
  if (!split) {
    std::vector<std::string_view> known;
    for (const GgufSplit& one : gguf_splits())
      known.insert(known.end(), one.names.begin(), one.names.end());
    std::sort(known.begin(), known.end());
    ensure(false, key("pre"), ": '", split_name,
           "' is not known; known: ", listed(known, ", ", known.size()));
  }
  Vocab vocab = tokens.vocab([&](size_t id) { return as_is(tokens, id); });
  Bpe::Options options;
  options.byte_level = split->bytes;
  options.ignore_merges = split->ignore_merges;
  options.byte_fallback = !split->bytes;
  const Texts merges = file.texts(key("merges"));
  std::vector<uint32_t> ranks;  // without merges, the order of the tokens is theirs
  if (merges.empty())
    for (size_t i = 0; i < tokens.texts.size(); ++i) ranks.push_back(uint32_t(i));
  Model model(merges.empty() ? Bpe::of_ranks(ranks, vocab, std::move(options))
                             : Bpe::of_merges(merges, vocab, std::move(options)));
  Normalizer normalizer;
  TokenDecoder decoder({TokenDecoder::ByteLevel{}});
  if (split->nfc) normalizer = Normalizer::read({{"type", "NFC"}});
  if (!split->bytes) {
    normalizer = Normalizer::read(
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
    decoder = TokenDecoder({TokenDecoder::Sentencepiece{false, false}});
  }
  return {.vocab = std::move(vocab),
          .added = tokens.added(!split->bytes),
          .normalizer = std::move(normalizer),
          .pre_tokenizer = pre_tokenizer(*split),
          .model = std::move(model),
          .surround = surround(file, tokens, split->add_bos || split_name == "gemma4", false),
          .decoder = std::move(decoder),
          .shown = {}};
}

/// The place of each token's score among all, the highest first; equal ones share theirs.
std::vector<uint32_t> ranks_of(const std::vector<double>& scores, const Tokens& tokens) {
  std::vector<size_t> order;
  for (size_t i = 0; i < tokens.texts.size(); ++i)
    if (tokens.types[i] == normal) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<uint32_t> ranks(tokens.texts.size(), Bpe::kNoRank);
  for (size_t i = 0; i < order.size(); ++i)
    ranks[order[i]] =
        i > 0 && scores[order[i]] == scores[order[i - 1]] ? ranks[order[i - 1]] : uint32_t(i);
  return ranks;
}

TokenizerParts sentencepiece(const Gguf& file, const Tokens& tokens) {
  const std::vector<double> scores = file.numbers(key("scores"));
  ensure(scores.size() >= tokens.texts.size(), key("scores"), " has ", scores.size(),
         " numbers for ", tokens.texts.size(), " tokens");
  for (size_t i = 0; i < scores.size(); ++i)
    if (!(scores[i] == scores[i])) ensure(false, key("scores"), ": that of token ", i, " is NaN");
  Vocab vocab = tokens.vocab([&](size_t id) { return as_is(tokens, id); });
  Bpe::Options options;
  options.fuse_unknown = options.byte_fallback = true;
  options.unknown = id_at(file, "unknown_token_id", tokens.texts.size()).value_or(-1);
  Model model(Bpe::of_ranks(ranks_of(scores, tokens), vocab, std::move(options)));
  const bool prefix = file.flag(key("add_space_prefix")).value_or(true);
  Sentencepiece spaces{
      .charsmap = {}, .kept = {}, .add_dummy_prefix = prefix, .remove_extra_whitespaces = false};
  return {.vocab = std::move(vocab),
          .added = tokens.added(),
          .normalizer = Normalizer(std::move(spaces)),
          .pre_tokenizer = {},
          .model = std::move(model),
          .surround = surround(file, tokens, true, false),
          .decoder = TokenDecoder({TokenDecoder::Sentencepiece{prefix, false}}),
          .shown = {},
          .normalize_added = false};
}

/// BERT's. What begins a word has sentencepiece's space in front; the rest is a continuation.
TokenizerParts word_piece(const Gguf& file, const Tokens& tokens) {
  Vocab vocab = tokens.vocab(
      [&](size_t id) {
        const std::string_view text = tokens.texts[id];
        if (tokens.types[id] != normal) return std::string(text);
        return text.starts_with(kSpace) ? std::string(text.substr(kSpace.size()))
                                        : concat("##", text);
      },
      /*all_in_model=*/true);
  const size_t all = tokens.texts.size();
  const int none = id_at(file, "unknown_token_id", all).value_or(100);
  ensure(vocab.has(none), key("unknown_token_id"), " is missing");
  const bool lower = file.flag(key("normalizer.lowercase")).value_or(true);
  Model model(WordPiece::read({{"type", "WordPiece"},
                               {"vocab", json::object()},
                               {"unk_token", vocab.text(none)},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100}},
                              vocab));
  const char* const cls = file.find(key("cls_token_id")) ? "cls_token_id" : "bos_token_id";
  Surround around = surround(file, tokens, true, false, cls);
  const auto sep = id_at(file, "seperator_token_id", all);  // as the format spells it
  if (sep && file.flag(key("add_sep_token")).value_or(true)) around.suffix = {*sep};
  return {.vocab = std::move(vocab),
          .added = tokens.added(),
          .normalizer = Normalizer::read(
              {{"type", "BertNormalizer"}, {"lowercase", lower}, {"strip_accents", lower}}),
          .pre_tokenizer = PreTokenizer::read({{"type", "BertPreTokenizer"}}),
          .model = std::move(model),
          .surround = std::move(around),
          .decoder = TokenDecoder({TokenDecoder::WordPiece{"##", true}}),
          .shown = {}};
}

/// What ends an answer wherever it is the name of a token.
constexpr std::string_view kStops[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81"
    "of\xE2\x96\x81"
    "sentence\xEF\xBD\x9C>",
    "[e~[",
    // of code to be filled in
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};

}  // namespace

std::vector<int> gguf_stop_ids(const Gguf& file) {
  const Texts texts = file.texts(key("tokens"));
  std::vector<int> ids;
  for (const char* of : {"eos_token_id", "eot_token_id", "eom_token_id"})
    if (const auto id = id_at(file, of, texts.size())) ids.push_back(*id);
  std::unordered_map<std::string_view, int> found;
  size_t longest = 0;
  for (const std::string_view stop : kStops) {
    found.emplace(stop, -1);
    longest = std::max(longest, stop.size());
  }
  for (size_t i = 0; i < texts.size(); ++i)
    if (texts[i].size() <= longest)
      if (const auto at = found.find(texts[i]); at != found.end()) at->second = int(i);
  const auto has = [&](std::string_view stop) { return found.at(stop) >= 0; };
  // Parts of an answer go on behind "<|end|>" where another one ends all; and Gemma 4's "</s>" is
  // HTML's.
  const bool goes_on = (has("<|return|>") && has("<|call|>")) ||
                       ((has("<|call|>") || has("<|calls|>")) && has("<|flush|>"));
  if (goes_on) found.at("<|end|>") = -1;
  if (has("<|tool_response>")) found.at("</s>") = -1;
  for (const std::string_view stop : kStops)
    if (const int id = found.at(stop);
        id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end())
      ids.push_back(id);
  return ids;
}

bool has_tokenizer(const Gguf& file) {
  const auto model = file.text(key("model"));
  return model && *model != "none" && *model != "no_vocab";
}

TokenizerParts parse_gguf_tokenizer(const Gguf& file, TokenizerConfig& config) {
  ensure(has_tokenizer(file), "the file has no tokenizer: ", key("model"), " is missing or none");
  const std::string_view model = *file.text(key("model"));
  ensure(model == "bert" || model == "gemma4" || model == "gpt2" || model == "llama", key("model"),
         ": '", model, "' is not one of bert, gemma4, gpt2, llama");
  const Tokens tokens(file);
  fill_config(file, tokens, config);
  if (const auto whole = file.text("tokenizer.huggingface.json")) return parse_tokenizer(*whole);
  if (model == "llama") return sentencepiece(file, tokens);
  if (model == "bert") return word_piece(file, tokens);
  return bpe(file, tokens, model == "gemma4" ? model : file.text(key("pre")).value_or("default"));
}

}  // namespace hearth::llm
