#include "hearth/cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>

#include "hearth/base/error.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/output.h"

namespace hearth::cli {

struct LineEditor::Impl {
  EditLine* edit = nullptr;
  History* history = nullptr;
  std::string first, next;
  bool going_on = false;  // not the first line of a text
  bool cancelled = false;
  bool ended = false;  // by a signal

  static Impl& of(EditLine* edit) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return *static_cast<Impl*>(self);
  }
  static char* prompt(EditLine* edit) {
    Impl& self = of(edit);
    return (self.going_on ? self.next : self.first).data();
  }
  static unsigned char insert(EditLine* edit, const char* text) {
    return el_insertstr(edit, text) == -1 ? CC_ERROR : CC_REFRESH;
  }
  static unsigned char new_line(EditLine* edit, int) { return insert(edit, "\n"); }
  static unsigned char cancel(EditLine* edit, int) {
    of(edit).cancelled = true;
    return CC_NEWLINE;
  }
  // What comes between "\033[200~" and "\033[201~" was pasted: its line ends end nothing.
  static unsigned char paste(EditLine* edit, int) {
    constexpr std::string_view kEnd = "\033[201~";
    constexpr size_t kMost = size_t(1) << 20;
    std::string text;
    wchar_t c = 0;
    while (!text.ends_with(kEnd) && text.size() < kMost) {
      if (el_wgetc(edit, &c) != 1) return CC_EOF;
      char bytes[16];  // longer than any character
      std::mbstate_t state{};
      const size_t n = std::wcrtomb(bytes, c == L'\r' ? L'\n' : c, &state);
      if (n != size_t(-1)) text.append(bytes, n);
    }
    if (text.ends_with(kEnd)) text.resize(text.size() - kEnd.size());
    return insert(edit, text.c_str());
  }

  // A character; 0 at the end of input, and when the program is to end. libedit's own reader goes
  // on after a signal.
  static int read_character(EditLine* edit, wchar_t* character) {
    constexpr int kLookMs = 200;  // a signal may come just before the wait
    std::mbstate_t state{};
    *character = L'\0';
    for (;;) {
      pollfd ready{STDIN_FILENO, POLLIN, 0};
      const int come = poll(&ready, 1, kLookMs);
      if (CatchInterrupt::flag()) return of(edit).ended = true, 0;
      if (come == 0 || (come < 0 && errno == EINTR)) continue;
      char byte;
      const ssize_t n = read(STDIN_FILENO, &byte, 1);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) return int(n);
      const size_t used = std::mbrtowc(character, &byte, 1, &state);
      if (used == size_t(-2)) continue;  // more of it comes
      if (used != size_t(-1)) return 1;
      state = {};  // no character
    }
  }

  /// What is pasted is marked while it lives.
  struct PasteMarks {
    PasteMarks() { print_out("\033[?2004h"); }
    ~PasteMarks() { print_out("\033[?2004l"); }
  };

  /// One line, without its end; nothing at the end of input.
  std::optional<std::string> line() {
    cancelled = ended = false;
    int n = 0;
    const char* text = [&] {
      const CatchInterrupt end({SIGTERM, SIGHUP});
      const PasteMarks marks;
      return el_gets(edit, &n);
    }();
    if (ended) return {};
    if (cancelled) {
      print_out("^C\n");
      return "";
    }
    if (!text || n <= 0) return {};
    std::string line(text);
    if (line.ends_with('\n')) line.pop_back();
    return line;
  }
};

LineEditor::LineEditor(std::string prompt) : impl_(std::make_unique<Impl>()) {
  std::setlocale(LC_CTYPE, "");  // libedit reads characters in the terminal's own code
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  impl_->first = std::move(prompt);
  impl_->next = std::string(impl_->first.size() > 2 ? impl_->first.size() - 2 : 0, '.') + ". ";
  impl_->edit = el_init("hearth", stdin, stdout, stderr);
  ensure(impl_->edit, "the terminal cannot be used for editing; send the message through a pipe");
  impl_->history = history_init();
  HistEvent event;
  history(impl_->history, &event, H_SETSIZE, 1000);
  history(impl_->history, &event, H_SETUNIQUE, 1);
  EditLine* edit = impl_->edit;
  el_set(edit, EL_CLIENTDATA, impl_.get());
  el_set(edit, EL_PROMPT, &Impl::prompt);
  el_set(edit, EL_GETCFN, &Impl::read_character);
  el_set(edit, EL_EDITOR, "emacs");
  el_set(edit, EL_HIST, history, impl_->history);
  el_set(edit, EL_ADDFN, "hearth-new-line", "Begin another line", &Impl::new_line);
  el_set(edit, EL_ADDFN, "hearth-cancel", "Throw the text away", &Impl::cancel);
  el_set(edit, EL_ADDFN, "hearth-paste", "Take pasted text as it is", &Impl::paste);
  constexpr struct {
    const char *key, *function;
  } kKeys[] = {
      {"\\e\r", "hearth-new-line"}, {"\\e\n", "hearth-new-line"}, {"\\e[200~", "hearth-paste"},
      {"^C", "hearth-cancel"},      {"^R", "em-inc-search-prev"}, {"\\e[3~", "ed-delete-next-char"},
      {"\\e[H", "ed-move-to-beg"},  {"\\e[F", "ed-move-to-end"},  {"\\e[1;5C", "em-next-word"},
      {"\\e[1;5D", "ed-prev-word"},
  };
  for (const auto& [key, name] : kKeys) el_set(edit, EL_BIND, key, name, nullptr);
  el_set(edit, EL_SETTY, "-d", "-isig", nullptr);  // Ctrl-C is a key while a line is edited
}

LineEditor::~LineEditor() {
  el_end(impl_->edit);
  history_end(impl_->history);
}

std::optional<std::string> LineEditor::next() {
  constexpr std::string_view kQuotes = "\"\"\"";
  std::string text;
  bool block = false;  // inside of """
  impl_->going_on = false;
  for (;;) {
    auto line = impl_->line();
    if (impl_->cancelled) return "";
    if (impl_->ended) return {};
    if (!line) {
      if (text.empty() && !block) return {};
      break;
    }
    if (!impl_->going_on && line->starts_with(kQuotes)) {
      line->erase(0, kQuotes.size());
      block = true;
    }
    impl_->going_on = true;
    const bool ends = block && line->ends_with(kQuotes);
    if (ends) line->resize(line->size() - kQuotes.size());
    const bool goes_on = !block && line->ends_with('\\');
    if (goes_on) line->pop_back();
    text += *line;
    if (ends || (!block && !goes_on)) break;
    if (!text.empty()) text += '\n';
  }
  if (block && text.ends_with('\n')) text.pop_back();
  HistEvent event;
  if (!text.empty()) history(impl_->history, &event, H_ENTER, text.c_str());
  return text;
}

}  // namespace hearth::cli
