// The loop of generation: rows of different prompts, options and ends, decoded together.
#pragma once
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "hearth/llm/likely.h"
#include "hearth/llm/prefill.h"
#include "hearth/llm/sampling_options.h"
#include "hearth/llm/speculate.h"

namespace hearth::llm {

/// A row's next token.
struct NewToken {
  int id;
  /// With sampling.logprobs: the token and then the most likely ones, with the logarithms of the
  /// probabilities that the model gave them.
  std::vector<Likely> likely = {};
};

struct BatcherOptions {
  int most_rows = 32;       // that are computed at once; others wait for their turn
  int prefill_chunk = 512;  // prompt tokens computed at once, a multiple of 64
  int chunks_per_step = 1;  // pieces of prompts that are read before each step of decoding
};

/// Rows come and go; what a row gets does not depend on who else is there. On the CPU that holds
/// for every bit, since
/// - a prompt is read alone, in pieces that its own length decides (piece_end), and never in one
///   product with what is decoded;
/// - at most 32 rows are decoded in one product, where a row's sums are those of one row;
/// - a row's draws depend on its seed and its position.
///
///   Batcher batcher(model);
///   const auto id = batcher.add({.prompt = {1, 2, 3}, .stop_ids = model.facts.eos});
///   while (!batcher.idle())
///     for (const Batcher::Event& event : batcher.step()) ...
///
/// For one thread at a time; the model is in use as long as the batcher lives.
class Batcher {
 public:
  using Id = uint64_t;
  static constexpr int kTogether = kFewRows;  // rows of one product

  struct Request {
    std::vector<int> prompt;
    SamplingOptions sampling = {};
    std::vector<int> stop_ids = {};  // the row ends before one of them; the model's eos, say
    int max_tokens = 200;            // the context may end before
    /// The caller's own rule, of texts say: told each token as it comes; true ends the row after
    /// it. What it throws ends the row with that error.
    std::function<bool(const NewToken&)> until = {};
    /// The state of the prompt's first tokens, fewer than all, which are not read again.
    std::optional<RowState> begun = {};
    bool keep_state = false;  // Event::state is wanted
    /// Tokens are drafted while the row is alone: several may come of one step, the same as
    /// without.
    DraftOptions draft = {};
  };

  enum class End {
    none,
    length,   // of max_tokens, or of the context
    stop_id,  // the event's token, which is no part of the answer
    caller,   // by `until`
    error
  };
  /// A row's next token, and whether it was the last.
  struct Event {
    Id row;
    NewToken token;  // id -1: none, for an error
    End end = End::none;
    std::exception_ptr error = {};
    double prefill_s = 0;  // of a row's first: the time that reading its prompt took
    /// At a row's end, where it was asked for: of its tokens, but for those that no step has read
    /// (the last). Absent where a device was ahead and the state cannot be cut back.
    std::optional<RowState> state = {};
    int read_tokens = 0;  // of them, those that were read as a prompt; decoding wrote the others
    DraftCounts drafts = {};  // of the row so far
  };

  explicit Batcher(LanguageModel& model, const BatcherOptions& options = {});
  ~Batcher();
  Batcher(const Batcher&) = delete;

  /// The row waits for its turn. Throws for an empty prompt, ids outside the vocabulary, a prompt
  /// that the context or the memory has no room for, and options without a meaning.
  Id add(Request request);
  /// The row ends without a further event; false if it has ended already.
  bool cancel(Id row);
  /// No row waits or runs.
  bool idle() const;
  /// Rows whose prompts are not read yet.
  size_t waiting() const { return waiting_.size(); }
  /// Reads pieces of prompts, then decodes a token of each row that runs. A row's error is its own
  /// event: nothing is thrown for it, and the others go on.
  std::vector<Event> step();

 private:
  struct Row;
  struct Group;
  struct Bin;
  using Events = std::vector<Event>;

  void check_prompt(const Request& request) const;
  void check_memory(const Row& row) const;
  bool has_room(const Row& row) const;
  int rows_running() const { return int(lengths_ahead().size()); }
  std::vector<int> lengths_ahead() const;

  void read_prompts(Events& events);
  bool admit(Row& row, Events& events);
  void begin(std::unique_ptr<Row> row, const array& logits, Events& events);

  bool stays(const Group& group, size_t i) const;
  void regroup(Events& events);
  bool rebuild(std::span<Group* const> groups, Events& events);
  struct Going;
  std::unique_ptr<Group> joined(std::span<const Going> going) const;
  void put_back(Group& group, size_t i, Events& events);
  void leave_memory(Row& row, Events& events);
  void start(Group& group, Events& events);
  bool speculate(Group& group);
  void read(Group& group, Events& events);
  void deliver(Row& row, NewToken token, KvCache& cache, int at, Events& events);
  void fail(Row& row, std::exception_ptr error, Events& events);
  void drop_ended();

  LanguageModel& model_;
  const BatcherOptions options_;
  std::deque<std::unique_ptr<Row>> waiting_;  // in order of arrival; the first may be half read
  std::vector<std::unique_ptr<Group>> groups_;
  Row* beginning_ = nullptr;  // whose first token is being delivered
  bool crowded_ = false;      // groups had no room to be joined, and no row has ended since
  Id next_id_ = 1;
  bool stepping_ = false;
};

}  // namespace hearth::llm
