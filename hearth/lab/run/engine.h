// An engine of the lab: any program that speaks the protocol of docs/engines.md, as a child.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/lab/result/result.h"
#include "hearth/lab/run/child_process.h"
#include "hearth/lab/run/engine_spec.h"

namespace hearth::lab {

/// The prompt of each row: row b begins b ids further, wrapping, so that rows differ and none can
/// stand for another.
std::vector<std::vector<int>> rows_of(const Job& job);

struct Timeouts {
  double hello_s = 120, load_s = 900, run_s = 600, close_s = 3;
};

/// What `hello` answers.
struct EngineHello {
  std::string name, version, device;
  Reading<std::string> commit;  // of its source
  std::vector<std::string> devices;
  /// Of "generate" and the operations those that it cannot do here, each with the reason and what
  /// would help.
  std::map<std::string, std::string> lacks;
  bool counts_launches = false;  // it can be asked for them
  bool tells_logits = false;     // likewise

  /// Why it cannot do the job; nothing if it can.
  std::optional<std::string> lack(const Job& job) const;
};
/// What `load` answers.
struct EngineLoad {
  std::string dtype, activations;
  Reading<double> bytes_per_weight;
  Reading<int64_t> weights_bytes;
  Reading<int> threads;
  Reading<bool> same_prompt_ids;
  Sampling sampling = Sampling::unknown;
  std::vector<std::string> notes;
};

/// Every call throws EngineFault when the engine breaks the protocol, dies or hangs (it is then
/// gone), EngineRefusal when it says that it cannot (it lives on), Interrupted when asked to stop.
struct EngineRefusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Engine {
 public:
  Engine(const EngineSpec& spec, const EnginePlaces& places, const Timeouts& timeouts = {},
         const std::atomic<bool>* interrupted = nullptr);

  EngineHello hello();
  EngineLoad load(const std::filesystem::path& model);
  /// Does the job `calls` times; times are of this process's clock, from `origin`.
  Repetition run(const Job& job, bool streamed, int calls, Clock::time_point origin);
  /// The mean of the absolute values of the last operation's result.
  double checksum();
  /// What it counts itself: tensors, their peak, the driver's total.
  Memory memory(std::string_view moment);
  void clear_cache();
  /// What it starts on its device for a decoding step of the job.
  struct Launches {
    Reading<int64_t> one_by_one, replayed;
  };
  Launches launches(const Job& job);
  /// Its logits of those tokens after the prompt, as many as tokens.
  std::vector<double> logits(const std::vector<int>& prompt, const std::vector<int>& tokens);
  /// What its device can do at most, as it measures it; one that is asked by hearth alone.
  std::vector<Ceiling> limits();
  /// Ends it; never throws.
  void bye() noexcept;

  void pause() { child_.pause(); }
  void resume() { child_.resume(); }
  /// Of the process whose memory and time are the engine's: its own, or the server that it started.
  pid_t pid() const { return serving_ ? serving_ : child_.pid(); }

 private:
  struct Reply;
  using OnToken = std::function<void(const nlohmann::json& ids, Clock::time_point arrived)>;
  Reply ask(nlohmann::json request, double timeout_s, const OnToken& on_token = {});
  template <class Read>
  auto understand(Read&& read);  // an answer of other types than it should be is a fault

  EngineSpec spec_;
  Timeouts timeouts_;
  ChildProcess child_;
  pid_t serving_ = 0;
  int last_ = 0;  // number of the last request
};

}  // namespace hearth::lab
