// A conversation as a person sees it: answers as they come, commands that begin with a slash.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hearth/cli/model_options.h"
#include "hearth/llm/chat.h"

namespace hearth::cli {

class ChatSession {
 public:
  ChatSession(llm::Chat& chat, llm::LanguageModel& model, llm::GenerateOptions options,
              bool terminal);

  /// A line of the user: a command, or a message to answer. What cannot be done is said, and the
  /// conversation goes on. False: the user wants to leave.
  bool take(const std::string& text);
  /// Answers a message, with what a person wants to know beside. Throws for what cannot be
  /// answered; the messages stay as they were.
  void ask(const std::string& text);
  /// Answers what was said last; writes the answer to stdout while it comes if it is `shown`.
  llm::Chat::Answer answer(bool shown);
  /// An answer goes on although stdout has failed: its state is wanted.
  bool unread_too = false;

 private:
  struct Command;
  static const std::vector<Command>& commands();
  void command(const std::string& line);
  void respond();
  void help(const std::string&);
  void system(const std::string& text);
  void save(const std::string& file);
  void load(const std::string& file);
  void retry(const std::string&);
  void undo(const std::string&);
  void clear(const std::string&);
  void stats(const std::string&);
  void think(const std::string&);
  void set(const std::string& text);
  void leave(const std::string&) { leaving_ = true; }
  void note(const std::string& text) const;
  void show_reasoning(std::string_view text);
  void fold_reasoning();

  llm::Chat& chat_;
  llm::LanguageModel& model_;
  llm::GenerateOptions options_;
  const bool terminal_;
  bool leaving_ = false;
  std::optional<llm::Chat::Answer> last_;
  std::string thought_;  // of the latest answer
  size_t thought_tokens_ = 0;
};

/// The text without what a terminal would take as an order: a character in place of each.
std::string harmless(std::string_view text);

}  // namespace hearth::cli
