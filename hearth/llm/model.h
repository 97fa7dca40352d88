// What every language model offers, and how one is made from a checkpoint folder.
#pragma once
#include <climits>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hearth/io/json.h"
#include "hearth/llm/checkpoint.h"
#include "hearth/llm/kv_cache.h"
#include "hearth/llm/part.h"
#include "hearth/llm/rewrite.h"
#include "hearth/nn/layers.h"
#include "hearth/ops/fast.h"

namespace hearth::llm {

/// What to compute for one step.
struct Step {
  array tokens;              // int32 (batch, length), rows padded on the right
  std::vector<int> lengths;  // tokens of each row that count; empty: all
  bool last_only = false;    // logits of each row's last token only
  /// Some of the tokens may be taken back (KvCache::truncate): each gives what it would give in a
  /// step of its own, to the bit on the CPU, and fixed states are kept after each of them. At most
  /// kMostDrafted with those of all rows together.
  bool drafted = false;
};
inline constexpr int kMostDrafted = 32;  // a product of more rows adds up in another order

/// What runs on the CPU of a model whose other parts run on the default device.
struct OnHost {
  int layers = 0;   // the first so many; the embedding with them, where the head is another
  int experts = 0;  // of the first so many layers
  bool any() const { return layers > 0 || experts > 0; }
  /// Is the parameter one of those? `tied`: the head is the embedding.
  bool holds(const std::string& parameter, bool tied) const;
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  /// Appends the tokens to the cache and gives their logits: (batch, length, vocab), or
  /// (batch, 1, vocab) with last_only. Throws when a row outgrows the context.
  array forward(const Step& step, KvCache& cache);
  virtual nn::Parameters parameters() = 0;
  /// How a checkpoint's tensors become parameters.
  virtual std::span<const Rewrite> rewrites() const { return {}; }
  KvCache make_cache(int batch = 1) const;
  KvCache make_cache(std::span<const RowState> rows) const;
  CacheShape cache_shape() const {
    return {states(), facts.context_length, facts.dtype, facts.state};
  }
  /// What the layers make of rows of one length, after the last norm: (batch, length, hidden).
  array features(const array& tokens);
  /// What a row of so many tokens is kept in, in a cache of that dtype.
  size_t state_bytes(int length, Dtype dtype) const;
  /// That of the layers that run on the default device, if so much runs on the CPU.
  size_t state_bytes(int length, Dtype dtype, const OnHost& host) const;
  /// What a cache of rows of these lengths takes, as it is allocated: each has the room of the
  /// longest, and a window that of steps of `step` tokens.
  size_t state_bytes(std::span<const int> lengths, int step = 1) const;
  /// What it has, what of it a token passes through, and what every decoded token reads with
  /// parameters of that dtype, but for packed ones: all but tables of which it takes a row, and
  /// other experts.
  struct Costs {
    size_t parameters = 0, active = 0, bytes_per_token = 0, bytes = 0;  // bytes: of all, loaded
    size_t host_bytes_per_token = 0;  // those of what Facts::host has
  };
  Costs costs(Dtype dtype);
  /// What a step of so many rows is expected to read: weights once, and of experts those that rows
  /// choose which choose at random, each once.
  double bytes_per_step(int rows);
  /// A head that is the embedding: the names of both, and the switch that makes it so. Nothing for
  /// a head with weights of its own.
  struct Tied {
    std::string head, embedding;
    bool* tied;
  };
  virtual std::optional<Tied> tied() { return {}; }
  /// The part of a parameter that a decoded token reads: of experts' weights, those chosen.
  virtual double read_share(const std::string& parameter) const { return (void)parameter, 1; }
  /// Does the parameter stay float32, whatever the model's dtype? What experts are chosen by does:
  /// a choice knows no nearly.
  virtual bool exact(const std::string& parameter) const { return (void)parameter, false; }
  /// Runs those parts on the CPU from now on; caches made before are of the old place.
  virtual void spread(const OnHost& host) { ensure(!host.any(), "spread: a model of one piece"); }
  /// Layers on the same input that can be one product: `whole` is made of the parts' weights, which
  /// become views of it. The pointers are good while the model stays where it is.
  struct Joined {
    std::optional<nn::Linear>* whole;
    std::vector<nn::Linear*> parts;
  };
  virtual std::vector<Joined> joined() { return {}; }

  /// While it is set: told what each part gives, "the embedding", "layer 0", ... For looking into a
  /// model; unset it costs nothing.
  std::function<void(const std::string& part, const array& x)> watch;

  /// Set by load_model.
  struct Facts {
    std::string type;     // model_type of config.json, of its text_config where it has one
    std::string wrapper;  // that of the whole, of which hearth runs the language model; or empty
    int vocab_size = 0, context_length = 0, layers = 0;
    int first_context = 0;  // a row that outgrows it is read again from its start, by other
                            // frequencies of rope; 0: none
    int dynamic_from = 0;   // a longer row has frequencies of rope of its own length; 0: none
    Dtype dtype = float32;
    Packing state = Packing::dense;  // of keys and values; dense: in that dtype
    bool int8 = false;               // packed weights meet few rows in eight bits
    OnHost host;
    /// What weights meet: "int8", or the dtype's short name.
    std::string_view activations() const { return int8 ? "int8" : short_name(dtype); }
    size_t weights_bytes = 0;  // of all parameters
    // Of what a decoded token reads of them: all but the embedding, and of experts those chosen.
    size_t bytes_per_token = 0, host_bytes_per_token = 0;
    std::vector<int> bos, eos;  // from generation_config.json, else config.json
    std::string config_hash;    // of config.json, however it is laid out
  } facts;

 protected:
  /// What each layer keeps.
  virtual std::vector<StateShape> states() const = 0;
  /// tokens (batch, length) -> hidden states (batch, length, hidden), cache written, not advanced.
  virtual array hidden(const array& tokens, const StepInfo& step, KvCache& cache) = 0;
  /// hidden states -> the same after the last norm.
  virtual array normed(const array& hidden) = 0;
  /// hidden states -> logits.
  virtual array logits(const array& hidden) = 0;
};

struct LoadOptions {
  std::optional<Dtype> dtype = {};  // default: the checkpoint's; packed weights stay as they are
  bool random_weights = false;      // only config.json is read
  uint64_t seed = 0;                // of the random weights
  /// LanguageModel::joined() in one memory; default: on devices other than the CPU, where weights
  /// are copied anyway. For a model that stays as it is: what is put in place of a part later, or a
  /// gradient that a part is asked for, does not reach the whole.
  std::optional<bool> join = {};
  /// The most positions of a row, at most the model's; the memory for them must be free.
  std::optional<int> context = {};
  /// Keys and values in fewer bits: q8_0 or q4_0 (ops/state_packing.h). On the CPU.
  Packing state = Packing::dense;
  /// On another device than the CPU: of so many last layers all runs there, and of so many first
  /// layers the experts do not; the rest runs on the CPU. Default: as much there as its memory has
  /// room for.
  std::optional<int> device_layers = {}, host_experts = {};
  static constexpr int kAll = INT_MAX;  // host_experts: of all layers
  bool mapped = true;                   // else the weights are read into memory of their own
  bool int8 = false;                    // Matrix::with_int8 of packed weights, on the CPU
  bool locked = false;                  // the weights' memory is never swapped out or dropped
  bool verify = false;                  // weights that are NaN or infinite are an error
};

/// The model in `folder` (config.json's model_type chooses the class), its weights mapped without a
/// copy where the dtype is the checkpoint's. Throws what recognize() says of a folder that is no
/// model that hearth runs, naming missing, unused or mis-shaped tensors, or when the memory would
/// not suffice.
std::unique_ptr<LanguageModel> load_model(const ModelFiles& folder,
                                          const LoadOptions& options = {});
/// The same of what was read already.
std::unique_ptr<LanguageModel> load_model(const Checkpoint& checkpoint,
                                          const LoadOptions& options = {});

/// Fills every parameter with values of the spread that training starts from, each in its own
/// memory: fast, in parallel, the same for a seed on any number of threads. Calls `made` after
/// each.
void fill_random(const nn::Parameters& parameters, Dtype dtype, uint64_t seed,
                 const std::function<void(array&)>& made = {});

/// The known values of model_type.
std::vector<std::string> known_models();

/// The dtype that config.json names; float32 where it names none.
Dtype config_dtype(const JsonObject& config);

/// "f16", "float16", "bf16", ... of a floating-point dtype that models run in.
Dtype parse_dtype(std::string_view text);

}  // namespace hearth::llm
