#include "hearth/cli/lab_runs.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hearth/base/error.h"
#include "hearth/cli/build_facts.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

namespace fs = std::filesystem;

void TurnOptions::add_to(Command& command, int fewest_pairs) {
  add_number(command, "--pairs", pairs, {fewest_pairs, 10000}, "Rounds in which every engine runs");
  add_number(command, "--starts", starts, {0, 10000},
             "Processes of each engine that these are spread over; 0: by what a start costs");
  add_number(command, "--seconds", seconds, {0, 3600}, "Samples of each engine, at least");
  add_number(command, "--warmup", warmup, {0, 3600}, "Seconds to wait for steady times, at most");
  add_number(command, "--timeout", timeout, {0.1, 86400}, "Seconds that one execution may take");
  command.add_flag("--ignore-others", ignore_others,
                   "Do not look at what else runs: all pairs count, however busy the machine is");
}

lab::RunOptions TurnOptions::run_options() const {
  lab::RunOptions options;
  options.places = engine_places();
  options.made_by = std::string("hearth ") + kVersion;
  options.timeouts.run_s = timeout;
  options.pairs = pairs;
  options.starts = starts;
  options.watch = !ignore_others;
  options.least_seconds = seconds;
  options.warmup_s = warmup;
  return options;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "hearth_lab_XXXXXX").string();
  ensure(mkdtemp(name.data()) != nullptr, name, ": no temporary folder: ", std::strerror(errno));
  path = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code none;
  fs::remove_all(path, none);
}

JobModel::JobModel(const lab::Job& job, const std::string& dtype,
                   const std::function<void()>& undo_too)
    : folder_(job.model) {
  if (!job.random_weights) return;
  write_random_checkpoint(folder_, weights_.emplace().path, dtype, 0, undo_too);
  folder_ = weights_->path;
}

void ProgressLine::operator()(const lab::Progress& p) {
  std::string line = p.of > 0 ? fmt::format("[{}/{}] {}", p.done, p.of, p.doing) : p.doing;
  if (p.seconds_left >= 1) line += fmt::format(", about {:.0f} s left", p.seconds_left);
  line = lab::one_line(line);
  if (terminal_) {
    print_err("\r\033[K" + lab::shortened(line, size_t(width(STDERR_FILENO)) - 1));
    written_ = true;
  } else if (const auto now = lab::Clock::now(); now - last_ >= std::chrono::seconds(10)) {
    print_err(line + "\n");
    last_ = now;
  }
}

ProgressLine::~ProgressLine() {
  if (written_) print_err("\r\033[K");
}

}  // namespace hearth::cli
