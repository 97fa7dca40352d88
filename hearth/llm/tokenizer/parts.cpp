#include "hearth/llm/tokenizer/parts.h"

#include <charconv>
#include <fstream>
#include <unordered_map>

#include "hearth/io/json.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/json.h"

namespace hearth::llm {
namespace {

using nlohmann::json;

std::vector<AddedToken> read_added_tokens(const json& file) {
  std::vector<AddedToken> added;
  if (member(file, "added_tokens", "tokenizer").is_null()) return added;
  for (const auto& entry : array_member(file, "added_tokens", "tokenizer")) {
    const char* const where = "added_tokens";
    AddedToken token;
    token.id = id_of(member(entry, "id", where), where);
    token.content = string_member(entry, "content", where);
    token.special = bool_member(entry, "special", false, where);
    token.single_word = bool_member(entry, "single_word", false, where);
    token.lstrip = bool_member(entry, "lstrip", false, where);
    token.rstrip = bool_member(entry, "rstrip", false, where);
    token.normalized = bool_member(entry, "normalized", !token.special, where);
    if (!token.content.empty()) added.push_back(std::move(token));
  }
  return added;
}

// The model's tokens and those added ones that it does not have.
Vocab read_vocab(const json& model, const std::vector<AddedToken>& added) {
  std::vector<Token> tokens = Model::tokens_of(model);
  const size_t in_model = tokens.size();
  std::unordered_map<std::string, size_t> places;  // copies: `tokens` grows
  for (size_t i = 0; i < in_model; ++i) places.emplace(tokens[i].text, i);
  for (const AddedToken& token : added) {
    const auto [found, fresh] = places.emplace(token.content, tokens.size());
    if (fresh)
      tokens.push_back({token.id, token.content, false});
    else if (const int before = tokens[found->second].id; before != token.id)
      ensure(false, "added_tokens: '", token.content, "' has the id ", token.id, " but ", before,
             found->second < in_model ? " in the model's vocab" : " before");
  }
  return Vocab(std::move(tokens));
}

}  // namespace

TokenizerParts parse_tokenizer(std::string_view text) {
  const json file = json::parse(text);
  const auto part = [&](const char* key) -> const json& { return member(file, key, "tokenizer"); };
  const auto& model = object_member(file, "model", "tokenizer");
  const bool reads_bytes = Model::kind_of(model) == "BPE" && Bpe::can_read_bytes(model);
  auto added = read_added_tokens(file);
  Vocab vocab = read_vocab(model, added);
  auto pre_tokenizer = PreTokenizer::read(part("pre_tokenizer"), reads_bytes);
  Model reader = Model::read(model, vocab, pre_tokenizer.byte_level());
  Surround surround = read_post_processor(part("post_processor"), vocab);
  return {.vocab = std::move(vocab),
          .added = std::move(added),
          .normalizer = Normalizer::read(part("normalizer")),
          .pre_tokenizer = std::move(pre_tokenizer),
          .model = std::move(reader),
          .surround = std::move(surround),
          .decoder = TokenDecoder::read(part("decoder")),
          .shown = {}};
}

std::string read_file(const std::filesystem::path& file) {
  constexpr std::uintmax_t kLargest = 1'000'000'000;
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  ensure(!error, "cannot read ", file.string(), ": ", error.message());
  ensure(size <= kLargest, file.string(), " has ", size, " bytes, more than any tokenizer needs");
  std::ifstream in(file, std::ios::binary);
  std::string text(size, '\0');
  ensure(static_cast<bool>(in.read(text.data(), static_cast<std::streamsize>(size))),
         "cannot read ", file.string());
  return text;
}

namespace {

// A token in tokenizer_config.json: a string, an added token with its "content", or null.
std::string token_text(const json& config, const char* key) {
  const auto& token = member(config, key, "");
  if (token.is_null()) return "";
  return token.is_object() ? string_member(token, "content", key) : string_of(token, key);
}

// A text, or a list of named ones of which "default" is the one for chats.
std::string chat_template_text(const json& config) {
  const char* const where = "chat_template";
  const auto& chat = member(config, where, "");
  if (chat.is_null()) return "";
  if (!chat.is_array()) return string_of(chat, where);
  for (const auto& each : chat)
    if (string_member(each, "name", where) == "default")
      return string_member(each, "template", where);
  return "";
}

// "151643", or nothing.
std::optional<int> natural(std::string_view digits) {
  int number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = error == std::errc{} && end == digits.data() + digits.size();
  return whole && number >= 0 ? std::optional(number) : std::nullopt;
}

std::optional<bool> optional_bool(const json& config, const char* key) {
  if (member(config, key, "").is_null()) return std::nullopt;
  return bool_member(config, key, false, "");
}

}  // namespace

TokenizerConfig TokenizerConfig::load(const std::filesystem::path& folder) {
  TokenizerConfig result;
  const auto file = folder / "tokenizer_config.json";
  if (std::filesystem::is_regular_file(file)) {
    const json config = read_json(file);
    try {
      result.bos_token = token_text(config, "bos_token");
      result.eos_token = token_text(config, "eos_token");
      result.pad_token = token_text(config, "pad_token");
      result.unk_token = token_text(config, "unk_token");
      result.add_bos_token = optional_bool(config, "add_bos_token");
      result.add_eos_token = optional_bool(config, "add_eos_token");
      result.chat_template = chat_template_text(config);
      const auto& pattern = member(config, "pat_str", "");
      if (!pattern.is_null()) result.split_pattern = string_of(pattern, "pat_str");
      const auto& added = member(config, "added_tokens_decoder", "");
      if (added.is_object())
        for (const auto& [id, token] : added.items())
          if (const auto number = natural(id); number && token.is_object())
            result.added_tokens[*number] = string_member(token, "content", "added_tokens_decoder");
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(concat(file.string(), ": ", error.what()));
    }
  }
  const auto jinja = folder / "chat_template.jinja";
  if (std::filesystem::is_regular_file(jinja)) result.chat_template = read_file(jinja);
  return result;
}

}  // namespace hearth::llm
