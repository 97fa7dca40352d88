// The result of a run of the lab: what was asked, of whom, on which machine, and every sample raw.
// Nothing here is derived; verdicts and explanations are computed from it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hearth/base/fields.h"
#include "hearth/lab/measure/reading.h"

namespace hearth::lab {

constexpr int kResultVersion = 1;
/// Nothing that is measured is larger; sums, squares and ratios of what is not stay finite.
constexpr double kLargest = 1e100;

enum class JobKind : uint8_t {
  generate,
  prefill,
  batch,
  op,       // one operation
  command,  // a program, from its start to its end
};
/// Whether it is asked of a model: it has a prompt, weights, tokens.
constexpr bool of_a_model(JobKind kind) { return kind < JobKind::op; }
enum class EngineStatus : uint8_t {
  ok,           // all that was asked
  partial,      // some of it; `faults` says why
  failed,       // nothing that could be used
  unavailable,  // not installed here
};
enum class Sampling : uint8_t { unknown, greedy, sampled };

/// One thing that every engine is asked to do, again and again.
struct Job {
  JobKind kind = JobKind::generate;
  std::string model;  // the folder or name; of random weights: the config's. Empty for an op
  bool random_weights = false;
  std::string prompt;           // its text; empty where the ids are random
  std::vector<int> prompt_ids;  // of each row; empty where they are not known
  int prompt_tokens = 0;        // how many they are
  int new_tokens = 0;           // to make, of each row, whatever comes
  int batch = 1;                // rows at once
  std::string op, dtype;        // of an op: "matmul", "f32"
  std::vector<int> shape;       // of an op: its sizes
  static constexpr std::string_view kName = "Job";
  HEARTH_FIELDS(kind, model, random_weights, prompt, prompt_ids, prompt_tokens, new_tokens, batch,
                op, dtype, shape)
};

/// What disturbed an execution, as far as the system shows it; seconds of its time. Of the
/// processors that the engine may run on, `processors` of them.
struct Disturbance {
  int processors = 1;
  std::optional<double> others_s;  // that others ran, the lab not counted; a tick wrong, or below 0
  std::optional<double> stolen_s;  // that a hypervisor took
  std::optional<double> waited_s;  // in which its threads, summed, could run and did not
  std::optional<double> throttled_s;  // in which a quota of its cgroup stopped it
  std::optional<double> pressure_s;   // in which any task of the system waited for a processor
  std::optional<double> switches;     // involuntary ones, of all its threads
  std::optional<double> clock_mhz;    // of a processor, just before
  static constexpr std::string_view kName = "Disturbance";
  HEARTH_FIELDS(processors, others_s, stolen_s, waited_s, throttled_s, pressure_s, switches,
                clock_mhz)
};

/// One process of an engine. Repetitions belong to one: what differs between processes of the same
/// program (pages, layout, placement) is not seen within it.
struct Start {
  double began_s = 0;               // of the run's clock
  Reading<double> start_s, load_s;  // process to hello; load
  Reading<double> first_s;          // its cold first repetition
  static constexpr std::string_view kName = "Start";
  HEARTH_FIELDS(began_s, start_s, load_s, first_s)
};

/// One execution of a job (or `calls` of them in a row), timed by the lab.
struct Repetition {
  int job = 0;    // index into Result::jobs
  int round = 0;  // the engines' repetitions of one round, job and `streamed` are a pair
  int start = 0;  // index into EngineResult::starts: the process that made it
  bool warmup = false;
  bool settling = false;  // the first of a turn, or one before it was steady: kept, not counted
  bool streamed =
      false;           // a line per token came, which costs some engines: totals come from others
  double start_s = 0;  // of the run's clock, as are the times of telemetry
  double total_s = 0;  // from the request sent to the end received
  int calls = 1;       // of an op: executions in total_s
  int prompt_tokens = 0;              // as the engine counts them
  int new_tokens = 0;                 // that came, of each row
  std::vector<double> token_s;        // when each came, after start_s; only if streamed
  std::vector<std::vector<int>> ids;  // new ones, of each row; empty where the engine gives none
  std::map<std::string, double> own;  // what the engine says of itself, never mixed with ours
  std::optional<Disturbance> disturbance;  // nothing where none was looked for
  /// It was measured and is steady.
  bool counts() const { return !warmup && !settling; }
  static constexpr std::string_view kName = "Repetition";
  static constexpr std::string_view kNewer[] = {"start", "settling"};
  HEARTH_FIELDS(job, round, start, warmup, settling, streamed, start_s, total_s, calls,
                prompt_tokens, new_tokens, token_s, ids, own, disturbance)
};

/// What stands in place of repetitions where only a summary was published.
struct Published {
  int job = 0;
  double mean_s = 0, stddev_s = 0;  // of the total; stddev with n - 1
  int n = 0;
  int prompt_tokens = 0, new_tokens = 0;
  static constexpr std::string_view kName = "Published";
  HEARTH_FIELDS(job, mean_s, stddev_s, n, prompt_tokens, new_tokens)
};

/// All gauges at one moment: "started", "loaded", "before", "after", "cleared".
struct Memory {
  std::string moment;
  Reading<int64_t> resident_bytes, resident_anonymous_bytes, resident_file_bytes;  // the process
  Reading<int64_t> resident_peak_bytes;
  Reading<int64_t> tensors_bytes;       // what the engine counts as its arrays
  Reading<int64_t> tensors_peak_bytes;  // the most it counted
  Reading<int64_t> driver_bytes;       // what the device's driver gave the process, caches included
  Reading<int64_t> system_used_bytes;  // by everybody
  Reading<int64_t> device_used_bytes;  // by everybody
  static constexpr std::string_view kName = "Memory";
  HEARTH_FIELDS(moment, resident_bytes, resident_anonymous_bytes, resident_file_bytes,
                resident_peak_bytes, tensors_bytes, tensors_peak_bytes, driver_bytes,
                system_used_bytes, device_used_bytes)
};

/// One quantity over the times of its timeline. Where values are missing, `reason` says why.
struct Channel {
  std::string name;    // "gpu_clock_mhz"
  std::string unit;    // "MHz", "W", "fraction", "bytes", ...
  std::string source;  // "nvml", "/proc/stat", ...
  std::string reason;
  std::vector<std::optional<double>> values;
  static constexpr std::string_view kName = "Channel";
  HEARTH_FIELDS(name, unit, source, reason, values)
};

/// What was sampled while an engine ran; between its repetitions there is nothing.
struct Timeline {
  Reading<double> sampler_cpu_s;  // processor time that sampling took
  std::vector<double> time_s;     // of the run's clock, ascending
  std::vector<Channel> channels;
  static constexpr std::string_view kName = "Timeline";
  HEARTH_FIELDS(sampler_cpu_s, time_s, channels)

  /// The first channel of that name that has a value, else the first of that name; null if none.
  const Channel* find(std::string_view name) const;
};

/// Adds what was sampled to what there is; a channel that is new, or gone, has nulls elsewhere.
/// Looks at what is new alone: a run has many turns.
void append(Timeline& to, const Timeline& more);

/// Where an engine's greedy ids part from another's: by how much it prefers its own. Where that is
/// next to nothing, rounding has decided.
struct Margin {
  std::string other;  // the other's label
  int job = 0;
  int row = 0, index = 0;  // of the first new token that is another
  Reading<double> logits;  // of its own token, less that of the other's
  static constexpr std::string_view kName = "Margin";
  HEARTH_FIELDS(other, job, row, index, logits)
};

/// One engine: what it is, what it did, what was seen meanwhile.
struct EngineResult {
  std::string label;  // as asked: "torch:cpu:dtype=f32"; unique in the result
  std::string name, program, device;
  std::map<std::string, std::string> options;
  std::string version;
  Reading<std::string> commit;  // of its source
  EngineStatus status = EngineStatus::ok;
  std::vector<std::string> faults;  // what went wrong, in order; or why it is unavailable
  std::vector<std::string> notes;   // what else a reader must know

  // Facts that decide whether it can be compared.
  std::string dtype;  // of the weights: "f16"; empty: unknown
  /// What products of packed weights take of the activations: "bf16", or "int8" where these are
  /// quantized for it; empty: unknown.
  std::string activations;
  Reading<double> bytes_per_weight;
  Reading<int64_t> weights_bytes;
  Reading<int> threads;
  Reading<bool> same_prompt_ids;  // it was given the job's ids (a server is given the text)
  Sampling sampling = Sampling::unknown;
  // Of a decoding step, as the engine counts them: started one by one, and as a recorded whole.
  Reading<int64_t> launches, replayed;

  Reading<double> start_s, load_s, first_s;   // of the first of `starts`
  std::vector<Start> starts;                  // its processes; older results have none here
  std::map<std::string, std::string> unseen;  // of a disturbance: what is missing, and why
  std::vector<Repetition> repetitions;        // in the order they ran
  std::vector<Published> published;
  std::vector<Memory> memory;
  std::vector<Margin> margins;
  Timeline telemetry;
  /// The ids of the first measured repetition of the job that has some; null if none has.
  const std::vector<std::vector<int>>* ids(int job) const;
  /// The repetitions of the job whose totals count: measured, steady, and not streamed, which costs
  /// some engines time; or the streamed ones where there are no others (a server's requests).
  std::vector<const Repetition*> totals(int job) const;
  static constexpr std::string_view kName = "EngineResult";
  static constexpr std::string_view kNewer[] = {"activations"};
  HEARTH_FIELDS(label, name, program, device, options, version, commit, status, faults, notes,
                dtype, activations, bytes_per_weight, weights_bytes, threads, same_prompt_ids,
                sampling, launches, replayed, start_s, load_s, first_s, starts, unseen, repetitions,
                published, memory, margins, telemetry)
};

/// A change of one thing of an engine's execution, and what a supposed cause predicts for it:
/// written down before it is tried.
struct Intervention {
  std::string engine;  // its label
  int job = 0;
  std::string cause;                // what is put to the test: "bandwidth-bound"
  std::string change;               // "threads", "dtype", "batch", "compile", "keepalive", "pause"
  std::string from;                 // "2"
  std::vector<std::string> to;      // "1"; of pauses several
  std::string prediction;           // in words
  double predicted = 1;             // time after over time before
  double least = 1, most = 1;       // the range that the prediction allows
  std::string refuted_by;           // in words
  std::vector<std::string> unlike;  // causes that predict something outside of that range
  std::string predicted_at;         // "2026-11-23T10:45:00Z"
  std::string measured_at;          // the end; empty: not tried, or interrupted
  std::string fault;                // why it could not be tried
  std::vector<EngineResult> executions;  // the engine as it is, then as it was changed, in turns
  static constexpr std::string_view kName = "Intervention";
  HEARTH_FIELDS(engine, job, cause, change, from, to, prediction, predicted, least, most,
                refuted_by, unlike, predicted_at, measured_at, fault, executions)
};

/// How the run went about it.
struct Plan {
  int pairs = 0;                // rounds asked for
  int starts = 0;               // of each engine, that these rounds are spread over; 0: all in one
  int64_t order_seed = 0;       // of the order of turns
  bool ignores_others = false;  // what else ran was not looked at
  std::string order;            // "ABBA...", or "sequential" where drift was not controlled
  bool side_by_side = true;     // all engines loaded at once; else blocks alternate
  std::optional<double> target_ci;  // half width of the interval to reach, 0.01 = 1 %
  double least_seconds = 0;         // of samples, for each engine
  Reading<double> telemetry_period_s;
  bool finished = false;  // false: interrupted; `hearth lab run --resume` goes on
  static constexpr std::string_view kName = "Plan";
  static constexpr std::string_view kNewer[] = {"starts", "order_seed", "ignores_others"};
  HEARTH_FIELDS(pairs, starts, order_seed, ignores_others, order, side_by_side, target_ci,
                least_seconds, telemetry_period_s, finished)
};

/// One fact about the machine, as text: "processor", "memory_total_bytes", "gpu_0", ...
struct Fact {
  std::string name;
  Reading<std::string> value;
  static constexpr std::string_view kName = "Fact";
  HEARTH_FIELDS(name, value)
};

/// A limit of the machine, measured (or stated, as `source` says).
struct Ceiling {
  std::string name;    // "read_bandwidth", "flops_f16", "launch", "launch_replayed"
  std::string device;  // "cpu", "cuda"
  std::string unit;    // "GB/s", "GFLOP/s", "us"
  std::string source;  // "measured", ...
  Reading<double> value;
  Reading<double> others = {};  // the part of the processors that others took meanwhile
  static constexpr std::string_view kName = "Ceiling";
  HEARTH_FIELDS(name, device, unit, source, value, others)
};

struct Result {
  int schema_version = kResultVersion;
  std::string created;  // "2026-11-23T10:45:00Z"
  std::string made_by;  // "hearth 0.1.0", "import of llama-bench", ...
  std::string source;   // "measured", or where the numbers were published
  std::vector<Fact> environment;
  std::vector<Ceiling> ceilings;
  Plan plan;
  std::vector<Job> jobs;
  std::vector<EngineResult> engines;
  std::vector<Intervention> interventions;
  std::vector<std::string> notes;
  static constexpr std::string_view kName = "Result";
  HEARTH_FIELDS(schema_version, created, made_by, source, environment, ceilings, plan, jobs,
                engines, interventions, notes)

  /// The engine of that label, or null.
  const EngineResult* engine(std::string_view label) const;
};

/// Throws std::invalid_argument unless the result has a job of that index. Users count from 1, as
/// the sentence does and as all that is printed does: only indexes in C++ and in the file are from
/// 0.
void check_job(const Result& result, int job, std::string_view who);

std::string_view to_string(JobKind kind);
/// What its times are of: "new token", "prompt", "call", "run".
std::string_view unit_of(JobKind kind);
std::string_view to_string(EngineStatus status);
std::string_view to_string(Sampling sampling);

/// "2026-11-23T10:45:00Z"
std::string now_utc();

/// Throws std::runtime_error, naming the field, unless the values agree with each other: indexes in
/// range, times that ascend, lengths that match, labels that are unique.
void check_result(const Result& result, std::string_view name);

}  // namespace hearth::lab
