// A conversation with a model: messages become a prompt that fits, the answer becomes a message.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hearth/llm/beginning.h"
#include "hearth/llm/chat_template.h"

namespace hearth::llm {

struct ChatMessage {
  std::string role, content;
  std::string reasoning = {};  // of an assistant's
  /// Of a message from a file: its other fields (tool_calls, name, ...), and a content that is no
  /// text, as a JSON object; or empty. They go to the template, and back into a file.
  std::string others = {};
};

/// A list of messages, as `hearth render` reads it.
std::string to_json(const std::vector<ChatMessage>& messages);
/// Throws std::runtime_error, which begins with `name`, for what is no list of messages with a role
/// and a content: a text, a list of parts, or none beside tool_calls.
std::vector<ChatMessage> messages_from_json(std::string_view text, std::string_view name);

class Chat {
 public:
  /// Without a template the texts of all messages are one text, which the model continues.
  Chat(LanguageModel& model, Tokenizer tokenizer, std::optional<ChatTemplate> form);

  std::vector<ChatMessage> messages;
  /// What the model is told before all else, in place of what it was told before.
  void set_system(const std::string& text);
  /// Variables of the template: name and JSON.
  std::vector<std::pair<std::string, std::string>> variables;
  /// What the model has read: only what follows it is read for the next answer.
  Beginning held;
  /// Messages that the latest answer did not see: where more must go, half of the room is made
  /// free, so that the answers after it go on from what was read.
  size_t dropped = 0;
  bool deterministic = false;  // of `held` use only what has the bits of a whole reading

  /// What the model is given now.
  struct Prompt {
    std::vector<int> ids;
    std::string end;     // of its text
    size_t dropped = 0;  // messages, the oldest but for the system's, for which there was no room
  };
  /// Leaves room for `answer` tokens. Throws when the last message alone is too long.
  Prompt prompt(int answer) const;

  struct Answer {
    ChatMessage message;
    Generated generated;
    size_t dropped = 0;
    int context_used = 0;  // tokens of prompt and answer
  };
  /// Called with each piece of text, and with an empty one after each token; false ends the answer.
  using Sink = std::function<bool(bool reasoning, std::string_view text)>;
  /// Answers the messages, and appends the answer to them.
  Answer answer(const GenerateOptions& options, const Sink& sink);

  /// Ids that end an answer: those of the configuration, and the tokenizer's eos.
  std::vector<int> stop_ids() const;
  const std::optional<ChatTemplate>& form() const { return form_; }

 private:
  Prompt whole_prompt(const std::vector<ChatMessage>& some) const;

  LanguageModel& model_;
  Tokenizer tokenizer_;
  std::optional<ChatTemplate> form_;
};

}  // namespace hearth::llm
