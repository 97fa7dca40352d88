#include "hearth/llm/tokenizer/post_processor.h"

#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/llm/tokenizer/json.h"

namespace hearth::llm {
namespace {

using nlohmann::json;

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

}  // namespace

Surround read_post_processor(const json& processor, const Vocab& vocab) {
  Surround surround;
  if (!processor.is_null()) add_post_processor(processor, surround, 0);
  for (const auto& ids : {surround.prefix, surround.suffix})
    for (const int id : ids)
      ensure(vocab.has(id), "post_processor: the id ", id, " names no token");
  return surround;
}

}  // namespace hearth::llm
