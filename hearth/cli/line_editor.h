// Lines from a terminal, edited with the keys that people know (libedit): history, several lines in
// one text, pasting.
#pragma once
#include <memory>
#include <optional>
#include <string>

namespace hearth::cli {

class LineEditor {
 public:
  /// `prompt` stands before the first line; dots of the same width before those that follow.
  explicit LineEditor(std::string prompt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;

  /// The next text: a line, or several. A line goes on in the next where it ends with a backslash,
  /// after Alt-Enter, between lines of """, and where it was pasted. Nothing at the end of input
  /// (Ctrl-D on an empty line), and after SIGTERM or SIGHUP, which CatchInterrupt then tells of.
  /// Ctrl-C throws away what was typed and gives an empty text. However it ends, the terminal is as
  /// it was.
  std::optional<std::string> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::cli
