// All that the command line writes goes through here. stdout has the result: what cannot be written
// is an error. stderr has what a person may want to know meanwhile: no failure there stops the
// work.
#pragma once
#include <string>
#include <string_view>

namespace hearth::cli {

/// Opens /dev/null in place of standard streams that the parent closed, before anything else is
/// opened: no file may get their numbers.
void open_standard_streams();

/// To stdout; throws when that fails (a full disk). A pipe that nobody reads ends the program by
/// SIGPIPE, or is an error where the parent ignores that signal.
void print_out(std::string_view text);

/// To stderr; never throws, and does not end the program when nobody reads it.
void print_err(std::string_view text) noexcept;

/// "hearth: what", to stderr; "hearth:" in red where there are colours.
void complain(std::string_view what) noexcept;

/// All of standard input.
std::string read_standard_input();
/// Whether something was sent there: it is a pipe or a file, no terminal and no device.
bool input_is_sent();

/// Whether the stream is a terminal that can rewrite a line and has colours: not TERM=dumb.
bool is_terminal(int stream);

/// Columns of the terminal behind the stream: COLUMNS, else what the terminal says, else 80.
int width(int stream);

}  // namespace hearth::cli
