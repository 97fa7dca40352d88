// A run's journal: what is measured is on the disk before the next is, one line for each. At the
// end it is closed into the result; a run that was killed is read from it.
#pragma once
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// What a run adds to its result at a time.
struct Addition {
  int intervention = -1;      // whose executions it is of; below 0: of the result's engines
  std::vector<Result> state;  // all that is no list below, as it is now; one or none
  int engine = 0;             // whose lists these are
  std::vector<Start> starts;
  std::vector<Repetition> repetitions;
  std::vector<Timeline> telemetry;
  static constexpr std::string_view kName = "Addition";
  static constexpr std::string_view kNewer[] = {"intervention"};
  HEARTH_FIELDS(intervention, state, engine, starts, repetitions, telemetry)
};
/// Adds it; the first of a start is what that start took cold.
void add(EngineResult& to, Repetition repetition);
/// A copy without what a journal adds by itself.
Addition state_of(Result& result);
/// Throws std::runtime_error for an engine or an intervention that the result has not.
void add(Result& to, Addition more);

/// Where the journal of a result stands: beside it.
std::filesystem::path journal_of(const std::filesystem::path& result);
/// What a journal holds: all its whole lines. The last one may be cut; nothing if even the first
/// is. Throws std::runtime_error, naming the line, where another is damaged.
std::optional<Result> read_journal(const std::filesystem::path& journal);

/// Another run is writing this result, or one that was interrupted has left its journal.
struct Taken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Journal {
 public:
  enum class Earlier { refused, replaced, read };
  /// Of that result; no other run can have it meanwhile. Throws Taken, also for the journal of an
  /// earlier run that is to be refused.
  Journal(std::filesystem::path result, Earlier earlier);
  /// Leaves the journal, if there is anything in it.
  ~Journal();
  Journal(const Journal&) = delete;

  /// What an earlier run had left, if it was read.
  std::optional<Result> found();
  /// Throws std::runtime_error where it cannot be written, a full disk say; what was added before
  /// stays whole.
  void write(const Addition& addition);
  /// Writes the result and removes the journal.
  void close(const Result& result);

 private:
  std::filesystem::path result_, path_;
  int fd_ = -1;
  size_t length_ = 0;
  std::optional<Result> found_;
};

}  // namespace hearth::lab
