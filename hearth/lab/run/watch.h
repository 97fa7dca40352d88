// What disturbs an execution of an engine, by the system's own accounts before and after it.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "hearth/lab/measure/reading.h"
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Looks at a process, with its children, and at the processors that it may run on. Of 0: at those
/// of the lab. Children that the lab waits for meanwhile are the process's own time too.
class Watch {
 public:
  explicit Watch(pid_t process, std::filesystem::path root = "/");

  /// Just before an execution, and just after it: about 0.1 ms each.
  void begin();
  Disturbance end();

  /// What is missing in what end() gave, by the names of its fields, and why.
  const std::map<std::string, std::string>& unseen() const { return unseen_; }

 private:
  /// Since the system, or the process, began.
  struct Account {
    Reading<double> active_s, stolen_s;  // of the processors
    Reading<double> own_s, waited_s, switches;
    Reading<double> throttled_s, pressure_s;
  };
  Account look();
  void look_at_processors(Account& account);
  void look_at_tree(Account& account);

  pid_t process_;
  std::filesystem::path root_;
  std::vector<int> processors_;
  std::vector<std::string> cgroups_;  // the files that tell when a quota stopped it
  Account before_;
  double clock_mhz_ = 0;
  std::map<std::string, std::string> unseen_;
};

}  // namespace hearth::lab
