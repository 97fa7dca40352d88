#include "hearth/llm/chat_template.h"

#include <algorithm>
#include <map>

#include "hearth/base/error.h"
#include "hearth/io/gguf.h"
#include "hearth/io/json.h"
#include "hearth/io/mapped_file.h"
#include "hearth/llm/template/interpreter.h"
#include "hearth/llm/template/json.h"
#include "hearth/llm/template/lexer.h"
#include "hearth/llm/template/parser.h"
#include "hearth/llm/tokenizer/utf8.h"

namespace hearth::llm {

using jinja::Dict;
using jinja::Value;

struct ChatTemplate::Impl {
  std::string name, source;
  jinja::Body body;
  Tokens tokens;  // bos_token, ... of the folder
};

namespace {

constexpr size_t kLargest = size_t(4) << 20;  // of a template; the largest known has 40 KB

std::string content_of(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  const auto bytes = mapped->bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

const std::string* text_at(const Dict& dict, std::string_view key) {
  const Value* value = dict.find(key);
  const auto* text = value ? value->get<jinja::String>() : nullptr;
  return text ? &text->text.str() : nullptr;
}

/// The names of special tokens and what they are: text, or an object with a content.
void read_tokens(const Value& config, std::vector<std::pair<std::string, std::string>>& tokens) {
  const auto* dict = config.get<Dict>();
  if (!dict) return;
  for (const auto& [key, value] : dict->items()) {
    const std::string& name = key.get<jinja::String>()->text.str();
    const auto known = std::any_of(tokens.begin(), tokens.end(),
                                   [&](const auto& token) { return token.first == name; });
    if (!name.ends_with("_token") || known) continue;
    const auto* object = value.get<Dict>();
    if (const auto* text = object ? text_at(*object, "content") : text_at(*dict, name))
      tokens.emplace_back(name, *text);
  }
}

/// A template by name, of a list [{"name", "template"}] or one text alone, which is the default.
using Named = std::map<std::string, std::string>;
Named named_templates(const Value& templates, const std::string& file) {
  Named named;
  if (const auto* text = templates.get<jinja::String>()) named["default"] = text->text.str();
  const auto* list = templates.get<jinja::List>();
  for (const Value& one : list ? list->items : jinja::Values()) {
    const auto* dict = one.get<Dict>();
    const auto *name = dict ? text_at(*dict, "name") : nullptr,
               *text = dict ? text_at(*dict, "template") : nullptr;
    ensure(name && text, file, ": chat_template: wanted objects with a name and a template");
    named[*name] = *text;
  }
  ensure(!named.empty() || templates.is<jinja::None>(), file,
         ": chat_template: wanted a text, or a list of objects with a name and a template");
  return named;
}

// A role is the caller's word, not the user's, as long as it is one of these: a template may build
// a token of it ("<|" + role + "|>").
bool known_role(std::string_view role) {
  constexpr std::string_view kRoles[] = {"assistant", "developer", "function", "ipython",
                                         "model",     "system",    "tool",     "user"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

Value checked_messages(const Conversation& c) {
  const Value all = jinja::value_of_json(c.messages, c.messages_name, true);
  const auto* list = all.get<jinja::List>();
  ensure(list, c.messages_name, ": wanted a list of messages, such as [{\"role\": \"user\", ",
         "\"content\": \"Hello\"}]");
  ensure(!list->items.empty(), c.messages_name,
         ": the list of messages is empty; give one at least");
  jinja::Values messages;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const auto* dict = list->items[i].get<Dict>();
    ensure(dict, c.messages_name, ": message ", i, ": wanted an object, got ",
           jinja::type_name(list->items[i]));
    auto message = std::make_shared<Dict>();
    for (const auto& [key, value] : dict->items()) {
      const std::string& name = key.get<jinja::String>()->text.str();
      const auto* role = name == "role" ? value.get<jinja::String>() : nullptr;
      message->set(key, role && known_role(role->text.str()) ? Value(role->text.str()) : value);
    }
    messages.emplace_back(std::shared_ptr<const Dict>(std::move(message)));
  }
  return Value::list(std::move(messages));
}

Dict variables_of(const Conversation& c,
                  const std::vector<std::pair<std::string, std::string>>& tokens) {
  Dict variables;
  for (const auto& [name, token] : tokens) variables.set(name, Value(token));
  variables.set("messages", checked_messages(c));
  Value tools;
  if (!c.tools.empty()) {
    tools = jinja::value_of_json(c.tools, c.tools_name, true);
    ensure(tools.is<jinja::List>() || tools.is<jinja::None>(), c.tools_name,
           ": wanted a list of tools, got ", jinja::type_name(tools));
  }
  variables.set("tools", tools);
  variables.set("documents", Value());
  variables.set("add_generation_prompt", Value(c.add_generation_prompt));
  for (const auto& [name, json] : c.variables)
    variables.set(name, jinja::value_of_json(json, name, name == "documents"));
  return variables;
}

}  // namespace

std::string Rendered::text() const {
  std::string all;
  for (const Piece& piece : pieces) all += piece.text;
  return all;
}

std::vector<int> ids_of(const Tokenizer& tokenizer, const Rendered& rendered,
                        bool special_in_messages) {
  std::vector<Tokenizer::Piece> pieces;
  for (const Rendered::Piece& piece : rendered.pieces)
    pieces.push_back({piece.text, special_in_messages || !piece.from_input});
  return tokenizer.encode(pieces, /*add_special_tokens=*/false);
}

const std::string& ChatTemplate::name() const { return impl_->name; }
const std::string& ChatTemplate::source() const { return impl_->source; }

ChatTemplate ChatTemplate::parse(std::string_view source, const std::string& name) {
  return with_tokens(source, name, {});
}

ChatTemplate ChatTemplate::with_tokens(std::string_view source, const std::string& name,
                                       Tokens tokens) {
  auto impl = std::make_shared<Impl>();
  impl->tokens = std::move(tokens);
  impl->name = name;
  impl->source = source;
  if (source.size() > kLargest)
    throw TemplateError(
        concat(name, ": a template of ", source.size(), " bytes, more than ", kLargest), false);
  if (!valid_utf8(source)) throw TemplateError(concat(name, ": the template is not UTF-8"), false);
  try {
    impl->body = jinja::parse(source);
  } catch (const jinja::SyntaxError& error) {
    throw TemplateError(concat(name, ": line ", error.line, ": ", error.what()), false);
  }
  return ChatTemplate(std::move(impl));
}

namespace {

/// The templates by name that a model has, where the last was found, and its special tokens.
struct Found {
  Named named;
  std::string from;
  std::vector<std::pair<std::string, std::string>> tokens;
};

Found read_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  Found found;
  auto& [named, from, tokens] = found;
  for (const char* file : {"chat_template.jinja", "tokenizer_config.json",
                           "special_tokens_map.json", "chat_template.json"}) {
    const fs::path path = folder / file;
    if (!fs::is_regular_file(path)) continue;
    const std::string content = content_of(path);
    if (path.extension() == ".jinja") {
      named["default"] = content;
      from = path.string();
      continue;
    }
    const Value config = jinja::value_of_json(content, path.string(), false);
    if (path.filename() != "chat_template.json") read_tokens(config, tokens);
    const auto* dict = config.get<Dict>();
    const Value* templates = dict ? dict->find("chat_template") : nullptr;
    if (!templates || !named.empty()) continue;
    named = named_templates(*templates, path.string());
    from = path.string();
  }
  if (const fs::path more = folder / "additional_chat_templates"; fs::is_directory(more))
    for (const auto& entry : fs::directory_iterator(more))
      if (entry.path().extension() == ".jinja")
        named[entry.path().stem().string()] = content_of(entry.path());
  return found;
}

Found read_gguf(const Gguf& file) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  Found found{.named = {}, .from = file.name(), .tokens = {}};
  for (const auto& [key, value] : file.metadata())
    if (key == kTemplate)
      found.named["default"] = *file.text(key);
    else if (key.starts_with(kTemplate) && key[kTemplate.size()] == '.')
      found.named[std::string(key.substr(kTemplate.size() + 1))] = *file.text(key);
  const auto texts = file.texts("tokenizer.ggml.tokens");
  for (const char* name : {"bos", "eos", "unknown", "padding"}) {
    const auto id = file.integer(concat("tokenizer.ggml.", name, "_token_id"));
    if (id && *id >= 0 && size_t(*id) < texts.size())
      found.tokens.emplace_back(concat(std::string_view(name).substr(0, 3), "_token"),
                                texts[size_t(*id)]);
  }
  return found;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const ModelFiles& files, const std::string& which,
                                               bool with_tools) {
  const auto& gguf = files.gguf();
  auto [named, from, tokens] = gguf ? read_gguf(*gguf) : read_folder(files.path());
  if (named.empty()) return {};

  std::string names;
  for (const auto& [name, source] : named) names += (names.empty() ? "" : ", ") + name;
  auto chosen = named.find(which);
  if (which.empty() && with_tools) chosen = named.find("tool_use");
  if (which.empty() && chosen == named.end()) chosen = named.find("default");
  ensure(chosen != named.end(), from, ": there is no chat template named '",
         which.empty() ? "default" : which, "'; there are: ", names);
  return with_tokens(chosen->second,
                     named.size() == 1 ? from : concat(from, " (", chosen->first, ")"),
                     std::move(tokens));
}

Rendered ChatTemplate::render(const Conversation& conversation) const {
  const Dict variables = variables_of(conversation, impl_->tokens);
  jinja::Interpreter interpreter(variables, conversation.now ? *conversation.now : local_time());
  try {
    const jinja::Text text = interpreter.run(impl_->body);
    Rendered rendered;
    for (const auto& piece : text.pieces())
      rendered.pieces.push_back({std::string(piece.text), piece.from_input});
    return rendered;
  } catch (const jinja::Refused& refused) {
    throw TemplateError(concat(impl_->name, ": line ", interpreter.line(),
                               ": the template refuses this conversation: ", refused.what()),
                        true);
  } catch (const jinja::Error& error) {
    throw TemplateError(concat(impl_->name, ": line ", interpreter.line(), ": ", error.what()),
                        false);
  } catch (const std::invalid_argument& error) {
    throw TemplateError(concat(impl_->name, ": line ", interpreter.line(), ": ", error.what()),
                        false);
  }
}

}  // namespace hearth::llm
