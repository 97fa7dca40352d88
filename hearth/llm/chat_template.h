// The chat template of a model: messages in, the text that the model is given out. Templates are
// Jinja's, rendered as transformers renders them; template/ has the interpreter.
#pragma once
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hearth/llm/tokenizer.h"

namespace hearth::llm {

/// What a template did wrong: "NAME: line 12: ...".
struct TemplateError : std::runtime_error {
  TemplateError(const std::string& what, bool refused)
      : std::runtime_error(what), refused(refused) {}
  bool refused;  // the template itself said so, with raise_exception()
};

/// What is rendered: JSON texts, in the form of OpenAI's API. `name`s begin the errors.
struct Conversation {
  std::string messages;  // a list of objects with a role
  std::string tools;     // a list, or empty for none
  /// More variables by name, each a JSON text: enable_thinking, documents, bos_token, ...
  std::vector<std::pair<std::string, std::string>> variables;
  bool add_generation_prompt = true;  // end with what begins an answer
  std::optional<std::tm> now;         // for strftime_now; default: the local time
  std::string messages_name = "messages", tools_name = "tools";
};

/// A text in pieces that know whether they came from messages, tools or documents: what came from
/// there must never become a special token.
struct Rendered {
  struct Piece {
    std::string text;
    bool from_input;
  };
  std::vector<Piece> pieces;
  std::string text() const;
};

/// The ids that the model is given. Text of messages, tools and documents becomes no special token,
/// unless `special_in_messages`: then the ids are those of transformers, whoever wrote the text.
std::vector<int> ids_of(const Tokenizer& tokenizer, const Rendered& rendered,
                        bool special_in_messages = false);

/// A value: copies share the template.
class ChatTemplate {
 public:
  /// Throws TemplateError for what is not Jinja.
  static ChatTemplate parse(std::string_view source, const std::string& name);

  /// The template of a checkpoint folder: chat_template.jinja, or what tokenizer_config.json or
  /// chat_template.json has. Of several, which have names, the one called `which`; by default
  /// "tool_use" with tools, else "default". Nothing if the folder has none.
  static std::optional<ChatTemplate> load(const ModelFiles& folder, const std::string& which = "",
                                          bool with_tools = false);

  /// Throws TemplateError; std::runtime_error for messages that are not what they should be.
  Rendered render(const Conversation& conversation) const;

  const std::string& name() const;
  const std::string& source() const;

 private:
  struct Impl;
  using Tokens = std::vector<std::pair<std::string, std::string>>;
  static ChatTemplate with_tokens(std::string_view source, const std::string& name, Tokens tokens);
  explicit ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace hearth::llm
