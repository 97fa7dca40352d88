// hearth tokenize: text to ids and back.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <sstream>

#include "hearth/cli/commands.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  bool decode = false, jsonl = false;
};

// An id beyond the vocabulary is a mistake; decode() would pass over it.
void check_ids(const llm::Tokenizer& tokenizer, const std::vector<int>& ids,
               std::string_view where) {
  for (int id : ids)
    ensure(tokenizer.id_to_token(id).has_value(), where, ": there is no token ", id,
           "; the vocabulary has ", tokenizer.vocab_size(), ", from 0 to ",
           tokenizer.vocab_size() - 1);
}

// {"text": ...} -> {"ids": [...]}, or the reverse with --decode.
void run_jsonl(const Options& o, const llm::Tokenizer& tokenizer) {
  std::string text;
  for (int number = 1; !output_failed() && std::getline(std::cin, text); ++number) {
    if (text.empty()) continue;
    const JsonObject object = JsonObject::parse(text, fmt::format("line {}", number));
    if (o.decode) {
      ensure(object.has("ids"), object.where(), ": ids is missing, wanted a list of token ids");
      const auto ids = object.naturals("ids");
      check_ids(tokenizer, ids, object.where());
      print_json(nlohmann::json{{"text", tokenizer.decode(ids)}}, -1);
    } else {
      print_json(nlohmann::json{{"ids", tokenizer.encode(object.text("text"))}}, -1);
    }
  }
}

void run(const Options& o) {
  const auto tokenizer = load_tokenizer(o);
  if (o.jsonl) return run_jsonl(o, tokenizer);
  const std::string text = read_text("-");
  if (!o.decode) return print_out(fmt::format("{}\n", fmt::join(tokenizer.encode(text), " ")));
  std::vector<int> ids;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    for (int id : parse_ids(word, "standard input")) ids.push_back(id);
  check_ids(tokenizer, ids, "standard input");
  std::string decoded = tokenizer.decode(ids);
  if (!decoded.ends_with('\n')) decoded += '\n';  // a line, for the terminal
  print_out(decoded);
}

}  // namespace

void add_tokenize(Command& app) {
  auto* command = app.add_subcommand("tokenize", "Text from standard input to token ids, or back");
  auto o = std::make_shared<Options>();
  add_model(*command, o->model);
  command->add_flag("--decode", o->decode, "Ids to text");
  command->add_flag("--jsonl", o->jsonl,
                    "Lines {\"text\": ...} in, {\"ids\": [...]} out, and back with --decode");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
