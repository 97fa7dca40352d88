#include "hearth/llm/tokenizer/parts.h"

#include <algorithm>
#include <fstream>

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
  const auto& entries = object_member(model, "vocab", "model");
  std::vector<Token> tokens;
  tokens.reserve(entries.size() + added.size());
  for (const auto& [text, id] : entries.items())
    tokens.push_back({id_of(id, "model: vocab"), text});
  for (const AddedToken& token : added) {
    const auto in_model = entries.find(token.content);
    if (in_model == entries.end())
      tokens.push_back({token.id, token.content});
    else
      ensure(*in_model == token.id, "added_tokens: '", token.content, "' has the id ", token.id,
             " but ", in_model->get<int>(), " in the model's vocab");
  }
  return Vocab(std::move(tokens));
}

void expect_bpe(const json& model) {
  const auto& type = member(model, "type", "model");  // old files leave it out
  const std::string name = type.is_null() ? "BPE" : string_of(type, "model: type");
  ensure(name == "BPE", "model: type '", name, "' is not one of BPE");
}

// [text, id], as the post-processors of BERT and RoBERTa name a token.
int id_of_pair(const json& processor, const char* key) {
  const auto& pair = array_member(processor, key, "post_processor");
  ensure(pair.size() == 2, "post_processor: ", key, " is not a pair of token and id");
  return id_of(pair[1], "post_processor");
}

Surround read_template(const json& processor) {
  Surround surround;
  const auto& special = object_member(processor, "special_tokens", "post_processor");
  bool behind = false;
  for (const auto& piece : array_member(processor, "single", "post_processor")) {
    const char* const where = "post_processor: single";
    if (!member(piece, "Sequence", where).is_null()) {
      const auto& sequence = object_member(piece, "Sequence", where);
      ensure(!behind && string_member(sequence, "id", where) == "A", where,
             ": the text stands not just once in the template");
      behind = true;
    } else {
      const auto& token = string_member(object_member(piece, "SpecialToken", where), "id", where);
      const auto& entry = object_member(special, token.c_str(), "post_processor: special_tokens");
      for (const auto& id : array_member(entry, "ids", "post_processor: special_tokens"))
        (behind ? surround.suffix : surround.prefix).push_back(id_of(id, where));
    }
  }
  ensure(behind, "post_processor: single: the text has no place in the template");
  return surround;
}

void add_post_processor(const json& processor, Surround& surround, int depth) {
  ensure(depth < 16, "post_processor: more than 16 levels");
  const std::string type = string_member(processor, "type", "post_processor");
  Surround outer;
  if (type == "Sequence") {
    for (const auto& each : array_member(processor, "processors", "post_processor"))
      add_post_processor(each, surround, depth + 1);
    return;
  }
  if (type == "ByteLevel") return;  // concerns offsets, which we do not keep
  if (type == "TemplateProcessing") {
    outer = read_template(processor);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    outer = {{id_of_pair(processor, "cls")}, {id_of_pair(processor, "sep")}};
  } else {
    ensure(false, "post_processor: type '", type,
           "' is not one of BertProcessing, ByteLevel, RobertaProcessing, Sequence, "
           "TemplateProcessing");
  }
  surround.prefix.insert(surround.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
  surround.suffix.insert(surround.suffix.end(), outer.suffix.begin(), outer.suffix.end());
}

Surround read_post_processor(const json& file, const Vocab& vocab) {
  Surround surround;
  const auto& processor = member(file, "post_processor", "tokenizer");
  if (!processor.is_null()) add_post_processor(processor, surround, 0);
  for (const auto& ids : {surround.prefix, surround.suffix})
    for (const int id : ids)
      ensure(vocab.has(id), "post_processor: the id ", id, " names no token");
  return surround;
}

bool read_decoder(const json& file) {
  const auto& decoder = member(file, "decoder", "tokenizer");
  if (decoder.is_null()) return false;
  const std::string type = string_member(decoder, "type", "decoder");
  ensure(type == "ByteLevel", "decoder: type '", type, "' is not one of ByteLevel");
  return true;
}

void expect_no_normalizer(const json& file) {
  const auto& normalizer = member(file, "normalizer", "tokenizer");
  if (normalizer.is_null()) return;
  ensure(false, "normalizer: type '", string_member(normalizer, "type", "normalizer"),
         "' is not known; only null is");
}

}  // namespace

TokenizerParts parse_tokenizer(std::string_view text) {
  const json file = json::parse(text);
  expect_no_normalizer(file);
  const auto& model = object_member(file, "model", "tokenizer");
  expect_bpe(model);
  auto added = read_added_tokens(file);
  std::vector<int> special;
  for (const AddedToken& token : added)
    if (token.special) special.push_back(token.id);
  std::sort(special.begin(), special.end());
  Vocab vocab = read_vocab(model, added);
  auto pre_tokenizer = PreTokenizer::read(member(file, "pre_tokenizer", "tokenizer"));
  Bpe bpe(model, vocab, pre_tokenizer.byte_level());
  Surround surround = read_post_processor(file, vocab);
  return {std::move(vocab), std::move(added),    std::move(special), std::move(pre_tokenizer),
          std::move(bpe),   std::move(surround), read_decoder(file)};
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
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(concat(file.string(), ": ", error.what()));
    }
  }
  const auto jinja = folder / "chat_template.jinja";
  if (std::filesystem::is_regular_file(jinja)) result.chat_template = read_file(jinja);
  return result;
}

}  // namespace hearth::llm
