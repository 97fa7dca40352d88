#include "hearth/llm/gguf/vocabulary.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/llm/tokenizer/gguf_splits.h"
#include "hearth/llm/tokenizer/pre_tokenizer.h"

namespace hearth::llm {

namespace vocabularies {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

enum TokenType : int32_t { normal = 1, unknown, control, user_defined, unused, byte };

constexpr int kMostTokens = 1 << 24;
const std::string kSpaceMark = "\xE2\x96\x81";  // U+2581, sentencepiece's

json json_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return in.good() ? JsonObject::read(file).raw() : json::object();
}
std::string text_in(const json& from, const char* key) {
  const auto it = from.find(key);
  if (it == from.end()) return {};
  if (it->is_string()) return it->get<std::string>();
  return it->is_object() ? it->value("content", "") : "";
}
const json& part_of(const json& from, const char* key) {
  static const json none;
  const auto it = from.find(key);
  return it == from.end() ? none : *it;
}

/// f of every step of a pipeline: a normalizer, a pre-tokenizer or a decoder.
template <class F>
void each_step(const json& step, const F& f) {
  if (!step.is_object()) return;
  for (const char* list : {"normalizers", "pretokenizers", "decoders"})
    if (const json& steps = part_of(step, list); steps.is_array()) {
      for (const json& one : steps) each_step(one, f);
      return;
    }
  f(step);
}
bool has_step(const json& pipeline, std::string_view type) {
  bool found = false;
  each_step(pipeline, [&](const json& step) { found = found || text_in(step, "type") == type; });
  return found;
}

/// What cuts texts, one expression after the other.
std::vector<std::string> expressions_of(const json& pre_tokenizer) {
  std::vector<std::string> all;
  each_step(pre_tokenizer, [&](const json& step) {
    const std::string type = text_in(step, "type");
    if (type == "ByteLevel" && step.value("use_regex", true)) all.emplace_back(kGpt2Pattern);
    if (type == "Digits" && step.value("individual_digits", false)) all.emplace_back("\\p{N}");
    if (type == "Split") all.push_back(text_in(part_of(step, "pattern"), "Regex"));
  });
  return all;
}

/// llama.cpp takes what looks so for special whatever the tokenizer says.
bool looks_special(const std::string& t) {
  const std::string bar = "\xEF\xBD\x9C";
  return t == "<pad>" || t == "<mask>" || t == "<2mass>" || t == "[@BOS@]" ||
         (t.starts_with("<|") && t.ends_with("|>")) ||
         (t.starts_with("<" + bar) && t.ends_with(bar + ">")) ||
         (t.starts_with("<unused") && t.ends_with(">"));
}

std::string with_spaces(std::string text) {
  for (size_t at; (at = text.find(kSpaceMark)) != text.npos;)
    text.replace(at, kSpaceMark.size(), " ");
  return text;
}

struct Words {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::map<std::string, uint32_t> ids;  // of all tokens

  Words(const json& root, size_t vocab_size, bool bytes, const std::string& where) {
    const json& model = root.at("model");
    const std::string unknown_token = text_in(model, "unk_token");
    size_t size = vocab_size;
    const auto note = [&](const std::string& text, const json& id) {
      ensure(id.is_number_unsigned() && id.get<uint64_t>() < 1u << 30, where, ": the id of ",
             in_quotes(text), " is ", in_quotes(id.dump()));
      const auto number = id.get<uint32_t>();
      ensure(number < vocab_size || vocab_size == 0, where, ": the id of ", in_quotes(text), " is ",
             number, ", but config.json has ", vocab_size, " tokens");
      size = std::max<size_t>(size, number + 1);
      ids[text] = number;
      return number;
    };
    for (const auto& [text, id] : model.at("vocab").items()) note(text, id);
    const json& added = part_of(root, "added_tokens");
    for (const json& token : added) note(text_in(token, "content"), part_of(token, "id"));
    texts.resize(size), types.assign(size, unused);
    for (size_t i = 0; i < size; ++i) texts[i] = concat("[PAD", i, "]");
    for (const auto& [text, id] : ids) {
      texts[id] = text;
      const bool is_byte = !bytes && text.size() == 6 && text.starts_with("<0x") && text[5] == '>';
      types[id] = is_byte ? byte : text == unknown_token && !bytes ? unknown : normal;
    }
    for (const json& token : added) {
      const std::string text = text_in(token, "content");
      const uint32_t id = ids.at(text);
      if (types[id] == unknown) continue;
      const bool special = token.value("special", false) || looks_special(text);
      types[id] = special ? control : user_defined;
      if (!special) texts[id] = with_spaces(text);
    }
  }
};

/// "a b" each; a space within a part stands as the alphabet of bytes has it.
std::vector<std::string> merges_of(const json& model) {
  std::vector<std::string> all;
  for (const json& merge : part_of(model, "merges")) {
    if (merge.is_string()) {
      all.push_back(merge.get<std::string>());
      continue;
    }
    std::string text;
    for (const json& part : merge) {
      if (!text.empty()) text += ' ';
      for (const char c : part.get<std::string>()) c == ' ' ? text += "\xC4\xA0" : text += c;
    }
    all.push_back(text);
  }
  return all;
}

/// A token is worth more the earlier it is merged.
std::vector<float> scores_of(const json& model, const Words& words) {
  std::vector<float> scores(words.texts.size(), -1e6f);
  int64_t rank = 0;
  for (const json& merge : part_of(model, "merges")) {
    std::string whole;
    if (merge.is_string()) {
      whole = merge.get<std::string>();
      if (const size_t space = whole.find(' ', 1); space != whole.npos) whole.erase(space, 1);
    } else {
      for (const json& part : merge) whole += part.get<std::string>();
    }
    if (const auto id = words.ids.find(whole); id != words.ids.end())
      scores[id->second] = std::max(scores[id->second], float(-rank));
    ++rank;
  }
  return scores;
}

/// Texts in which tokenizers differ.
std::vector<std::string> probes() {
  return {"Hello, World! It's 12 o'clock; we'd go 1234567 times.",
          "  leading\n\n\t  and   inner spaces \r\n end   ",
          "don't DON'T they'LL \xE2\x80\x99s can't've",
          "\xC3\xA9t\xC3\xA9 na\xC3\xAFve e\xCC\x81 \xC2\xA0nbsp",
          "\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C\xE3\x80\x82"
          "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 "
          "\xE3\x81\x93\xE3\x82\x93\xED\x95\x9C\xEA\xB5\xAD",
          "\xF0\x9F\x9A\x80 (normal) \xF0\x9F\x98\xB6\xE2\x80\x8D\xF0\x9F\x8C\xAB\xEF\xB8\x8F",
          "int main() { return a[i]++ != 0x1F ? -1 : \"s\\n\"; }  // x_y__z",
          "3 33 333 3333 33333 3.14 1,000 $9.99 50% a1b2 \xD9\xA3\xE0\xA5\xA9",
          "''' ```` ==== ---- **** ....  ,,  ?\?!! <|x|> </s> [INST]"};
}
/// The first that a file of this metadata gives other ids for; nothing where there is none.
std::optional<std::string> differs(const GgufMetadata& metadata, const Tokenizer& wanted) {
  std::string file = "GGUF";
  const auto put = [&](auto n) { file.append(reinterpret_cast<const char*>(&n), sizeof n); };
  put(uint32_t(3)), put(uint64_t(0)), put(uint64_t(metadata.size()));
  file += metadata.bytes();
  const Tokenizer got =
      Tokenizer::of_gguf(Gguf::of_bytes(std::as_bytes(std::span(file)), "the file to be written"));
  for (const std::string& text : probes())
    if (got.encode(text) != wanted.encode(text)) return text;
  return std::nullopt;
}

void set_special_tokens(GgufMetadata& to, const fs::path& folder, const JsonObject& config,
                        const Words& words, const Tokenizer& tokenizer) {
  const json settings = json_of(folder / "tokenizer_config.json");
  const std::pair<const char*, const char*> kinds[] = {
      {"bos", "bos"},     {"eos", "eos"}, {"unk", "unknown"}, {"sep", "seperator"},
      {"pad", "padding"}, {"cls", "cls"}, {"mask", "mask"}};
  std::map<std::string, uint32_t> found;
  for (const auto& [kind, written] : kinds) {
    const std::string token = text_in(settings, concat(kind, "_token").c_str());
    const auto id = words.ids.find(token);
    const std::string field = concat(kind, "_token_id");
    const json& number = part_of(config.raw(), field.c_str());
    if (!token.empty() && id != words.ids.end())
      found[kind] = id->second;
    else if (number.is_number_unsigned() && number.get<uint64_t>() < words.texts.size())
      found[kind] = number.get<uint32_t>();
    if (found.contains(kind)) to.set(concat("tokenizer.ggml.", written, "_token_id"), found[kind]);
  }
  const std::vector<int> around = tokenizer.encode("");
  const auto begins = [&](const char* kind, bool front) {
    const auto id = found.find(kind);
    if (around.empty() || id == found.end()) return false;
    return uint32_t(front ? around.front() : around.back()) == id->second;
  };
  const bool bos = begins("bos", true);
  to.set("tokenizer.ggml.add_bos_token", bos);
  to.set("tokenizer.ggml.add_eos_token", around.size() > size_t(bos) && begins("eos", false));
}

void set_template(GgufMetadata& to, const fs::path& folder) {
  std::string text;
  if (std::ifstream in(folder / "chat_template.jinja", std::ios::binary); in.good()) {
    std::ostringstream all;
    all << in.rdbuf();
    text = all.str();
  } else {
    for (const char* file : {"chat_template.json", "tokenizer_config.json"})
      if (const json settings = json_of(folder / file); text.empty()) {
        const json& said = part_of(settings, "chat_template");
        if (said.is_string()) text = said.get<std::string>();
        if (said.is_array())
          for (const json& one : said)
            if (text_in(one, "name") == "default") text = text_in(one, "template");
      }
  }
  if (!text.empty()) to.set("tokenizer.chat_template", text);
}

constexpr std::string_view kPre = "tokenizer.ggml.pre";

/// The name of what cuts texts as the tokenizer does.
void set_split(GgufMetadata& to, const json& root, const Tokenizer& tokenizer,
               const std::string& where) {
  const std::vector<std::string> expressions = expressions_of(part_of(root, "pre_tokenizer"));
  std::vector<const GgufSplit*> order;
  for (const bool same : {true, false})  // those that look alike first
    for (const GgufSplit& split : gguf_splits())
      if (split.bytes && (split.expressions == expressions) == same) order.push_back(&split);
  for (const GgufSplit* split : order) {
    to.set(kPre, split->names[0]);
    if (!differs(to, tokenizer)) return;
  }
  ensure(false, where, ": texts are cut in a way that no name in GGUF files stands for");
}

}  // namespace
}  // namespace vocabularies

void set_vocabulary(GgufMetadata& to, const std::filesystem::path& folder,
                    const JsonObject& config) {
  using namespace vocabularies;
  const auto file = Tokenizer::file_in(folder);
  if (!file) {
    to.set("tokenizer.ggml.model", "none");
    return;
  }
  const std::string where = file->string();
  ensure(file->extension() == ".json" && file->filename() == "tokenizer.json", where,
         ": hearth writes GGUF files of tokenizers in tokenizer.json only");
  const Tokenizer tokenizer = Tokenizer::load(folder);
  const json root = JsonObject::read(*file).raw();
  const json& model = part_of(root, "model");
  const std::string kind = text_in(model, "type").empty() ? "BPE" : text_in(model, "type");
  const bool bytes = has_step(part_of(root, "decoder"), "ByteLevel") ||
                     has_step(part_of(root, "pre_tokenizer"), "ByteLevel");
  const bool pieces = !bytes && model.value("byte_fallback", false);
  ensure(kind == "BPE" && (bytes || pieces), where, ": a tokenizer of the kind ", kind,
         bytes || pieces ? "" : " of neither bytes nor sentencepiece's pieces",
         ", which hearth cannot write into a GGUF file");
  const int size = config.positive("vocab_size");
  ensure(size <= kMostTokens, where, ": config.json has ", size, " tokens, more than ",
         kMostTokens);
  const Words words(root, size_t(size), bytes, where);
  to.set("tokenizer.ggml.model", bytes ? "gpt2" : "llama");
  to.set(kPre, "default");
  to.set("tokenizer.ggml.tokens", words.texts);
  if (pieces) to.set("tokenizer.ggml.scores", std::span<const float>(scores_of(model, words)));
  to.set("tokenizer.ggml.token_type", std::span<const int32_t>(words.types));
  if (bytes) to.set("tokenizer.ggml.merges", merges_of(model));
  set_special_tokens(to, folder, config, words, tokenizer);
  if (pieces) {
    bool prefix = has_step(part_of(root, "normalizer"), "Prepend");
    each_step(part_of(root, "pre_tokenizer"), [&](const json& step) {
      if (text_in(step, "type") == "Metaspace") prefix = text_in(step, "prepend_scheme") != "never";
    });
    to.set("tokenizer.ggml.add_space_prefix", prefix);
  }
  if (bytes) set_split(to, root, tokenizer, where);
  const auto other = differs(to, tokenizer);
  ensure(!other, where, ": a GGUF file cannot say this tokenizer: ", in_quotes(other.value_or("")),
         " would become other ids");
  set_template(to, folder);
}

}  // namespace hearth::llm
