// Results of a machine over time, in one file of SQLite: of each run the facts and, of each engine
// and job, the mean time of every round.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/database.h"

namespace hearth::lab {

/// An engine on a job, in one run.
struct HistoryPoint {
  std::string engine, job;      // a label; a job in words
  std::string unit;             // what the times are of: "new token"
  std::vector<double> seconds;  // per unit, of each round
};

struct HistoryRun {
  int64_t id = 0;       // in the file
  std::string created;  // "2026-11-23T10:45:00Z"
  std::string source;   // "measured", or where it was imported from
  /// The environment, and of each engine "version of LABEL" and "commit of LABEL".
  std::map<std::string, std::string> facts;
  std::vector<HistoryPoint> points;
};

/// What tells a run from another: its moment, its engines and jobs, their times.
std::string key_of(const HistoryRun& run);

class History {
 public:
  enum class Open { read, write };
  /// Throws std::runtime_error, naming the file and the next step, for one that is no history of
  /// the lab, or whose tables are others than this version's. To write makes it where there is
  /// none.
  History(const std::filesystem::path& path, Open how);

  /// The run's id. A run that is there already stays as it is: 0.
  int64_t add(const HistoryRun& run);
  /// Whether there was one of that id.
  bool remove(int64_t id);
  /// All runs, the oldest first. With an engine, of that one's points alone.
  std::vector<HistoryRun> runs(std::string_view engine = "") const;

 private:
  void check_tables() const;
  Database db_;
};

}  // namespace hearth::lab
