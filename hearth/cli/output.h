// All that the command line writes goes through here. stdout has the result: what cannot be written
// is an error, at the end. stderr has what a person may want to know meanwhile. No failure of
// either stops the work.
#pragma once
#include <string>
#include <string_view>

namespace hearth::cli {

/// Before anything else is opened: standard streams that the parent closed get a place, so that no
/// file gets their numbers; and a write that fails is an error of that write, not a signal
/// (SIGPIPE, SIGXFSZ) that ends the program in the middle of its work.
void prepare_streams();

/// To stdout. The first failure (a full disk, a pipe that nobody reads) is remembered and nothing
/// more is written; the work goes on, since a file may have been asked for besides.
void print_out(std::string_view text);
/// Whether print_out has failed. What computes for stdout alone need not go on.
bool output_failed();
/// The program's last word, with its exit code so far: what could not be printed makes a success a
/// failure, which it says on stderr. Of a pipe that nobody reads it dies quietly, by SIGPIPE as
/// other programs do, unless the parent ignores that signal.
int settle_output(int exit_code);

/// To stderr; never throws.
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
