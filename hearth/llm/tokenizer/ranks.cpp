// tekken.json and tiktoken files: tokens of bytes and their ranks. Two neighbours that are a token
// together are joined, the one of the lowest rank first.
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/base64.h"
#include "hearth/llm/tokenizer/byte_alphabet.h"
#include "hearth/llm/tokenizer/expressions.h"
#include "hearth/llm/tokenizer/json.h"
#include "hearth/llm/tokenizer/parts.h"

namespace hearth::llm {
namespace {

using nlohmann::json;

struct RankedToken {
  int rank;
  std::string bytes;
};

using Specials = std::map<int, std::string>;  // by id

// `shift` is the id of rank 0.
TokenizerParts parts_of(const std::vector<RankedToken>& ranked, int shift, const Specials& specials,
                        const std::string& pattern, TokenizerConfig& config) {
  std::vector<Token> tokens;
  std::vector<AddedToken> added;
  int last = -1;
  for (const auto& [rank, bytes] : ranked) {
    ensure(rank <= 0x7FFFFFFF - shift, "the rank ", rank, " is too large");
    std::string text;
    append_in_alphabet(bytes, text);
    const bool empty = text.empty();  // whisper's files have such a token
    tokens.push_back({rank + shift, std::move(text), !empty});
    last = std::max(last, rank + shift);
  }
  for (const auto& [id, text] : specials) {
    if (text.empty()) continue;
    tokens.push_back({id, text, false});
    added.push_back({.id = id, .content = text, .normalized = false, .special = true});
  }
  Vocab vocab(std::move(tokens));
  std::vector<uint32_t> ranks(size_t(vocab.size()), Bpe::kNoRank);
  for (const auto& [rank, bytes] : ranked) ranks[size_t(rank + shift)] = uint32_t(rank);
  Bpe::Options options;
  options.byte_level = true;
  options.ignore_merges = true;
  Model model(Bpe::of_ranks(ranks, vocab, std::move(options)));
  Surround surround;
  if (config.add_bos_token.value_or(false) && vocab.id(config.bos_token) >= 0)
    surround.prefix = {vocab.id(config.bos_token)};
  if (config.add_eos_token.value_or(false) && vocab.id(config.eos_token) >= 0)
    surround.suffix = {vocab.id(config.eos_token)};
  return {.vocab = std::move(vocab),
          .added = std::move(added),
          .normalizer = {},
          .pre_tokenizer = PreTokenizer::of_expression(pattern),
          .model = std::move(model),
          .surround = std::move(surround),
          .decoder = TokenDecoder({TokenDecoder::ByteLevel{}}),
          .shown = {}};
}

// The special tokens of a tekken.json that has no list of them.
constexpr const char* kTekkenSpecials[] = {"<unk>",
                                           "<s>",
                                           "</s>",
                                           "[INST]",
                                           "[/INST]",
                                           "[AVAILABLE_TOOLS]",
                                           "[/AVAILABLE_TOOLS]",
                                           "[TOOL_RESULTS]",
                                           "[/TOOL_RESULTS]",
                                           "[TOOL_CALLS]",
                                           "[IMG]",
                                           "<pad>",
                                           "[IMG_BREAK]",
                                           "[IMG_END]",
                                           "[PREFIX]",
                                           "[MIDDLE]",
                                           "[SUFFIX]",
                                           "[SYSTEM_PROMPT]",
                                           "[/SYSTEM_PROMPT]",
                                           "[TOOL_CONTENT]"};

Specials llama3_specials() {
  Specials specials = {{128000, "<|begin_of_text|>"},
                       {128001, "<|end_of_text|>"},
                       {128004, "<|finetune_right_pad_id|>"},
                       {128006, "<|start_header_id|>"},
                       {128007, "<|end_header_id|>"},
                       {128008, "<|eom_id|>"},
                       {128009, "<|eot_id|>"},
                       {128010, "<|python_tag|>"}};
  int reserved = 0;
  for (int id = 128000; id < 128256; ++id)
    if (!specials.contains(id))
      specials[id] = concat("<|reserved_special_token_", reserved++, "|>");
  return specials;
}

Specials qwen_specials(int first) {
  Specials specials = {
      {first, "<|endoftext|>"}, {first + 1, "<|im_start|>"}, {first + 2, "<|im_end|>"}};
  for (int i = 0; i < 205; ++i) specials[first + 3 + i] = concat("<|extra_", i, "|>");
  return specials;
}

// The files that are known: part of the name, tokens (0: any number), expression, special tokens.
struct Known {
  std::string_view name;
  size_t tokens;
  std::string pattern;
  Specials (*specials)(int first);
};
const Known kKnown[] = {
    {"o200k_base", 0, kO200k,
     [](int) {
       return Specials{{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}};
     }},
    {"cl100k_base", 0, kCl100k,
     [](int) {
       return Specials{{100257, "<|endoftext|>"},
                       {100258, "<|fim_prefix|>"},
                       {100259, "<|fim_middle|>"},
                       {100260, "<|fim_suffix|>"},
                       {100276, "<|endofprompt|>"}};
     }},
    {"p50k_base", 0, kGpt2Pattern,
     [](int) {
       return Specials{{50256, "<|endoftext|>"}};
     }},
    {"r50k_base", 0, kGpt2Pattern,
     [](int) {
       return Specials{{50256, "<|endoftext|>"}};
     }},
    {"gpt2", 0, kGpt2Pattern,
     [](int first) {
       return Specials{{first, "<|endoftext|>"}};
     }},
    {"multilingual", 0, kGpt2Pattern,
     [](int first) {
       return Specials{{first, "<|endoftext|>"}};
     }},
    {"qwen", 0, kQwen, qwen_specials},
    {"tokenizer.model", 128000, kLlama3, [](int) { return llama3_specials(); }},
    {"tiktoken.model", 163584, kKimi, [](int) { return Specials{}; }},
};

}  // namespace

TokenizerParts parse_tekken(std::string_view text, TokenizerConfig& config) {
  const json file = json::parse(text);
  const auto& facts = object_member(file, "config", "tekken");
  const auto count = [&](const char* key) {
    return id_of(member(facts, key, "config"), concat("config: ", key));
  };
  const int all = count("default_vocab_size"), special = count("default_num_special_tokens");
  ensure(special <= all, "config: default_num_special_tokens ", special,
         " is above default_vocab_size ", all);
  std::vector<RankedToken> ranked;
  for (const auto& entry : array_member(file, "vocab", "tekken")) {
    if (ranked.size() == size_t(all - special)) break;
    auto bytes = from_base64(string_member(entry, "token_bytes", "vocab"));
    ensure(bytes.has_value(), "vocab: token_bytes of entry ", ranked.size(), " is not base64");
    ranked.push_back({id_of(member(entry, "rank", "vocab"), "vocab: rank"), *std::move(bytes)});
  }
  ensure(size_t(special) <= 16 * ranked.size() + 65536, "config: ", special,
         " special tokens are out of proportion to ", ranked.size(), " others");
  Specials specials;
  const auto& list = member(file, "special_tokens", "tekken");
  if (list.is_null()) {
    for (const char* each : kTekkenSpecials) specials[int(specials.size())] = each;
  } else {
    for (const auto& entry : array_member(file, "special_tokens", "tekken"))
      specials[id_of(member(entry, "rank", "special_tokens"), "special_tokens: rank")] =
          string_member(entry, "token_str", "special_tokens");
  }
  ensure(specials.empty() || specials.rbegin()->first < special, "special_tokens: the rank ",
         specials.empty() ? 0 : specials.rbegin()->first, " of ", special);
  for (int id = 0; id < special; ++id)
    if (!specials.contains(id)) specials[id] = concat("<SPECIAL_", id, '>');
  if (config.bos_token.empty()) config.bos_token = "<s>";
  if (config.eos_token.empty()) config.eos_token = "</s>";
  if (!config.add_bos_token) config.add_bos_token = true;
  return parts_of(ranked, special, specials, string_member(facts, "pattern", "config"), config);
}

TokenizerParts parse_tiktoken(std::string_view text, const std::string& file,
                              TokenizerConfig& config) {
  std::vector<RankedToken> ranked;
  int number = 0, last = -1;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    if (line.empty()) continue;
    const size_t space = std::min(line.find(' '), line.size());
    const auto bytes = from_base64(line.substr(0, space));
    const std::string_view digits = line.substr(std::min(space + 1, line.size()));
    int rank = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    ensure(bytes && error == std::errc{} && end == digits.data() + digits.size() && rank >= 0,
           "line ", number, " is not a token in base64 and its rank: not a tokenizer's file");
    ranked.push_back({rank, *bytes});
    last = std::max(last, rank);
  }
  ensure(!ranked.empty(), "the file is empty");
  const Known* known = nullptr;
  for (const Known& each : kKnown)
    if (!known && file.find(each.name) != file.npos &&
        (each.tokens == 0 || each.tokens == ranked.size()))
      known = &each;
  const std::string pattern = !config.split_pattern.empty() ? config.split_pattern
                              : known                       ? known->pattern
                                                            : "";
  ensure(!pattern.empty(), ranked.size(),
         " tokens and their ranks, but how the text is cut is not known for a file of this name; "
         "give the expression as \"pat_str\" in tokenizer_config.json");
  Specials specials = known ? known->specials(last + 1) : Specials{};
  for (const auto& [id, content] : config.added_tokens) specials[id] = content;
  return parts_of(ranked, 0, specials, pattern, config);
}

}  // namespace hearth::llm
