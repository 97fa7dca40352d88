// What every command that runs a model shares: its options, loading, and the figures it reports.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "hearth/cli/command.h"
#include "hearth/cli/output.h"
#include "hearth/lab/measure/limits.h"
#include "hearth/llm/generate.h"

namespace hearth::cli {

struct ModelOptions {
  std::string model;  // empty: the model that ships
  bool random_weights = false;
  std::string dtype;   // empty: the checkpoint's
  std::string kv;      // "q8", "q4"; empty: in the model's dtype
  std::string device;  // empty: the default
  uint64_t seed = 0;
  std::optional<int> context, gpu_layers, cpu_experts;
  bool cpu_moe = false;
  bool locked = false, unmapped = false, verify = false;
  std::string activations;  // "int8"; empty: the dtype

  /// --model, --random-weights, --dtype, --kv, --device, --gpu-layers, --cpu-moe, --n-cpu-moe,
  /// --context, --mlock, --no-mmap, --verify, --activations, --threads.
  /// `positional`: the model may be named without the option's name.
  void add_to(Command& command, bool positional = false);
  Packing state() const;  // of --kv
  std::filesystem::path folder() const;
  /// What is there, opened once for all that read it.
  ModelFiles files() const;
  /// Loads it, on the chosen device.
  std::unique_ptr<llm::LanguageModel> load() const;

 private:
  mutable std::optional<ModelFiles> files_;
};

/// -m, --model MODEL alone, for commands that need no weights.
void add_model(Command& command, std::string& model, bool positional = false);

/// --kv q8|q4.
void add_kv(Command& command, std::string& kv);

/// For the check of a --model: an empty one is a variable that was not set, not the default.
std::string named_model(const std::string& model);

/// On a terminal: asks whether to fetch a model of the Hub that names a GGUF file's type
/// (USER/REPO:Q4_K_M) and is not in the cache, and fetches it.
void offer_to_pull(const std::string& model);

/// The model that ships, as a folder.
std::filesystem::path shipped_model();

/// Fills the folder `to` with a checkpoint of random weights in the shape of the one in `from`, and
/// the files beside it. Of one that Ctrl-C ended nothing is left, the folder neither.
llm::LanguageModel::Facts write_random_checkpoint(const std::filesystem::path& from,
                                                  const std::filesystem::path& to,
                                                  const std::string& dtype, uint64_t seed,
                                                  const std::function<void()>& undo_too = {});

/// The tokenizer of the model's folder.
llm::Tokenizer load_tokenizer(const ModelOptions& options);

/// Ids as "1,2,3". Throws UsageError, which names `where` they came from.
std::vector<int> parse_ids(const std::string& text, std::string_view where);

/// A whole file, or standard input for "-".
std::string read_text(const std::string& path);

/// GB/s of reading the loaded weights: by the default device, or all threads of the pool.
lab::Samples weights_bandwidth(llm::LanguageModel& model);
/// The most of memory of its own, where no weights are loaded; 0 where nobody knows. Takes about a
/// second.
double read_bandwidth_gb_s();

/// Whether the weights fit in the processor's caches: memory's bandwidth is then no limit, and what
/// weights_bandwidth() measures is the caches'. False on another device.
lab::Reading<bool> fit_in_caches(size_t weights_bytes);
/// What to say of a share of the measured bandwidth, "; ..." each: that the weights fit in the
/// caches, that a share above all of it means that its measurement was disturbed.
std::string notes_on_share(double share, const lab::Reading<bool>& cached);
inline bool disturbed(double share) { return share > 1.005; }  // what is printed as 101 % or more
/// For --json: null where the system does not tell.
nlohmann::json json_of(const lab::Reading<bool>& known);

/// The most memory this process has had, in bytes.
size_t peak_memory_bytes();

/// The most memory that hearth has had on the default device, in bytes; 0 for the CPU.
size_t device_peak_bytes();

}  // namespace hearth::cli
