// Linux's account of one process.
#include <unistd.h>

#include "hearth/base/error.h"
#include "hearth/lab/telemetry/files.h"
#include "hearth/lab/telemetry/sources.h"

namespace hearth::lab {
namespace {

class Process : public FileTelemetry {
 public:
  Process(pid_t process, const Path& root)
      : FileTelemetry("proc", root,
                      {{"process_active_cores", "cores"}, {"process_resident_bytes", "bytes"}}),
        folder_(concat("/proc/", process)) {}

  std::vector<Reading<double>> sample(double now) override {
    return {cpu_.per_second(cpu_seconds(), now), resident()};
  }

 private:
  // "PID (name) S ppid ...": the name may hold blanks and brackets; utime and stime are the 12th
  // and 13th words after it.
  Reading<double> cpu_seconds() const {
    const auto text = read_text(root_, folder_ + "/stat");
    if (!text.value) return Reading<double>::missing(text.reason);
    const size_t name_end = text.value->rfind(')');
    if (name_end != std::string::npos) {
      const auto words = words_of(std::string_view(*text.value).substr(name_end + 1));
      if (words.size() > 12)
        if (const auto user = number_of(words[11]), system = number_of(words[12]); user && system)
          return (*user + *system) / double(sysconf(_SC_CLK_TCK));
    }
    return Reading<double>::missing(folder_ + "/stat has no times");
  }

  Reading<double> resident() const {  // statm: size resident shared ..., in pages
    const auto text = read_text(root_, folder_ + "/statm");
    if (!text.value) return Reading<double>::missing(text.reason);
    const auto words = words_of(*text.value);
    if (words.size() > 1)
      if (const auto pages = number_of(words[1])) return *pages * double(sysconf(_SC_PAGESIZE));
    return Reading<double>::missing(folder_ + "/statm has no pages");
  }

  std::string folder_;
  Rate cpu_;
};

}  // namespace

std::unique_ptr<Telemetry> process_telemetry(pid_t process, const Path& root) {
  return std::make_unique<Process>(process, root);
}

namespace {
const TelemetrySource source{System::linux_os, 20,
                             [](const Path& root, pid_t process) -> std::unique_ptr<Telemetry> {
                               return process ? process_telemetry(process, root) : nullptr;
                             }};
}  // namespace

}  // namespace hearth::lab
