#include "hearth/lab/result/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "hearth/base/error.h"
#include "hearth/io/mapped_file.h"
#include "hearth/lab/result/result_json.h"

namespace hearth::lab {

namespace fs = std::filesystem;

Addition state_of(Result& result) {
  struct Lists {
    std::vector<Start> starts;
    std::vector<Repetition> repetitions;
    Timeline telemetry;
  };
  std::vector<Lists> aside;
  for (EngineResult& e : result.engines)
    aside.push_back({std::exchange(e.starts, {}), std::exchange(e.repetitions, {}),
                     std::exchange(e.telemetry, {})});
  Addition out;
  out.state = {result};
  for (size_t i = 0; i < aside.size(); ++i) {
    EngineResult& e = result.engines[i];
    e.starts = std::move(aside[i].starts);
    e.repetitions = std::move(aside[i].repetitions);
    e.telemetry = std::move(aside[i].telemetry);
  }
  return out;
}

void add(EngineResult& to, Repetition r) {
  if (r.start >= 0 && size_t(r.start) < to.starts.size() &&
      !to.starts[size_t(r.start)].first_s.value) {
    to.starts[size_t(r.start)].first_s = r.total_s;
    if (r.start == 0) to.first_s = r.total_s;
  }
  to.repetitions.push_back(std::move(r));
}

void add(Result& to, Addition more) {
  const bool tries = more.intervention >= 0;
  ensure(!tries || size_t(more.intervention) < to.interventions.size(), "it adds to intervention ",
         more.intervention, ", but there are ", to.interventions.size());
  std::vector<EngineResult>& engines =
      tries ? to.interventions[size_t(more.intervention)].executions : to.engines;
  if (!more.state.empty()) {
    Result state = std::move(more.state.front());
    for (size_t i = 0; i < std::min(engines.size(), state.engines.size()); ++i) {
      EngineResult &from = engines[i], &e = state.engines[i];
      // A state that begins a journal has these lists itself: all of an earlier part.
      if (e.starts.empty()) e.starts = std::move(from.starts);
      if (e.repetitions.empty()) e.repetitions = std::move(from.repetitions);
      if (e.telemetry.time_s.empty()) e.telemetry = std::move(from.telemetry);
    }
    if (tries)  // its run is of the executions alone
      engines = std::move(state.engines);
    else
      to = std::move(state);
  }
  if (more.starts.empty() && more.repetitions.empty() && more.telemetry.empty()) return;
  ensure(more.engine >= 0 && size_t(more.engine) < engines.size(), "it adds to engine ",
         more.engine, ", but there are ", engines.size());
  EngineResult& e = engines[size_t(more.engine)];
  for (Start& one : more.starts) e.starts.push_back(std::move(one));
  for (Repetition& one : more.repetitions) add(e, std::move(one));
  for (const Timeline& one : more.telemetry) append(e.telemetry, one);
}

fs::path journal_of(const fs::path& result) {
  fs::path path = result;
  path += ".journal";
  return path;
}

namespace {

/// The result of all whole lines, and how many bytes these have.
struct Recovered {
  std::optional<Result> result;
  size_t bytes = 0;
};

Recovered recover(const fs::path& journal) {
  Recovered out;
  if (fs::file_size(journal) == 0) return out;
  const auto file = MappedFile::open(journal);
  const std::string_view all(reinterpret_cast<const char*>(file->bytes().data()),
                             file->bytes().size());
  for (int line = 1; out.bytes < all.size(); ++line) {
    const size_t end = all.find('\n', out.bytes);
    if (end == all.npos) break;  // cut by what ended the run
    const std::string name = concat(journal.string(), ": line ", line);
    Addition addition = parse_addition(all.substr(out.bytes, end - out.bytes), name);
    ensure(out.result || !addition.state.empty(), name, ": a journal begins with its state");
    if (!out.result) out.result.emplace();
    try {
      add(*out.result, std::move(addition));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(concat(name, ": ", error.what()));
    }
    out.bytes = end + 1;
  }
  if (out.result) check_result(*out.result, journal.string());
  return out;
}

}  // namespace

std::optional<Result> read_journal(const fs::path& journal) { return recover(journal).result; }

Journal::Journal(fs::path result, Earlier earlier)
    : result_(std::move(result)), path_(journal_of(result_)) {
  while (true) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0644);
    ensure(fd_ >= 0, path_.string(), ": cannot be written: ", std::strerror(errno));
    // A file system without locks has none to wait for.
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd_);
      throw Taken(
          concat(result_.string(), ": another run is writing it; give this one another -o"));
    }
    struct stat mine {
    }, there{};
    if (fstat(fd_, &mine) == 0 && stat(path_.c_str(), &there) == 0 && mine.st_ino == there.st_ino)
      break;
    ::close(fd_);  // the run that had it ended in between, and took it away
  }
  try {
    Recovered left;
    if (earlier != Earlier::replaced) left = recover(path_);
    if (left.result && earlier == Earlier::refused)
      throw Taken(concat(path_.string(), " is of a run that was killed: `hearth lab run --resume ",
                         result_.string(), "` goes on, --overwrite throws it away"));
    found_ = std::move(left.result);
    length_ = left.bytes;
    ensure(ftruncate(fd_, off_t(length_)) == 0, path_.string(),
           ": cannot be written: ", std::strerror(errno));
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Journal::~Journal() {
  if (fd_ < 0) return;
  if (length_ == 0) unlink(path_.c_str());
  ::close(fd_);
}

std::optional<Result> Journal::found() { return std::exchange(found_, std::nullopt); }

void Journal::write(const Addition& addition) {
  const std::string line = to_line(addition) + "\n";
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string why = n < 0 ? std::strerror(errno) : "nothing was written";
      // A cut line would be ignored when it is read; without it others can be added.
      if (ftruncate(fd_, off_t(length_)) != 0 && length_ == 0) unlink(path_.c_str());
      throw std::runtime_error(
          length_ == 0 ? concat(path_.string(), ": cannot be written: ", why)
                       : concat(path_.string(), ": cannot be written: ", why,
                                "; what was measured before is in it, whole: make room, then "
                                "`hearth lab run --resume ",
                                result_.string(), "` goes on"));
    }
    rest.remove_prefix(size_t(n));
  }
  length_ += line.size();
  // A kill loses nothing that was written; for a power failure what a process measured is synced.
  if (!addition.state.empty()) fdatasync(fd_);
}

void Journal::close(const Result& result) {
  try {
    write_result(result, result_);
  } catch (const std::exception& error) {
    throw std::runtime_error(concat(error.what(), "; what was measured is in ", path_.string(),
                                    ": `hearth lab run --resume ", result_.string(),
                                    "` writes it"));
  }
  unlink(path_.c_str());
  ::close(fd_);
  fd_ = -1;
}

}  // namespace hearth::lab
