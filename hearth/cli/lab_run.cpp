// hearth lab run: measures engines on one job, and keeps every sample.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "hearth/cli/lab.h"
#include "hearth/cli/lab_command.h"
#include "hearth/cli/lab_runs.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/io/hub.h"
#include "hearth/io/output_file.h"
#include "hearth/lab/result/journal.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/report.h"
#include "hearth/lab/show/text.h"
#include "hearth/llm/registry.h"

namespace hearth::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kBarePrompt = 8;  // random ids, where there is no tokenizer for a text

struct Options {
  std::string model, job = "generate", prompt = "Once upon a time", dtype = "f16";
  std::string op = "matmul", shapes, dtypes = "f32";
  std::vector<std::string> engines;
  std::string telemetry = "100ms", target_ci, out, resume;
  std::string prompt_tokens, batch;  // several with commas, or a range
  std::vector<std::string> tokens;   // likewise; of commands, what -n calls them
  std::string where;                 // --output
  CommandJob commands;
  Exports exports;
  TurnOptions turns{.seconds = 5, .warmup = 10};
  bool prompt_given = false, random_weights = false, against_itself = false, take_turns = false,
       no_limits = false, overwrite = false, history = false;
};

std::vector<std::string> words(const std::string& list, char at) {
  std::vector<std::string> all;
  std::istringstream in(list);
  for (std::string word; std::getline(in, word, at);) all.push_back(word);
  return all;
}

[[noreturn]] void wrong(const std::string& option, const std::string& got,
                        const std::string& wanted) {
  throw UsageError(fmt::format("{}: '{}', wanted {}", option, got, wanted));
}

int positive(const std::string& option, const std::string& text) {
  const auto n = parse_number<int>(text);
  if (!n || *n < 1) wrong(option, text, "a whole number above 0");
  return *n;
}

/// "100ms", "2s" or "off" in seconds.
double period(const std::string& text) {
  if (text == "off") return 0;
  const bool ms = text.ends_with("ms");
  if (ms || text.ends_with('s')) {
    const auto n = parse_number<double>(text.substr(0, text.size() - (ms ? 2 : 1)));
    const double s = n.value_or(0) / (ms ? 1000 : 1);
    if (s >= 0.001 && s <= 3600) return s;
  }
  wrong("--telemetry", text, "e.g. 100ms, 1s or off");
}

struct Operation {
  std::string_view name, sizes, usual;  // usual: without --shape
};
constexpr Operation kOperations[] = {{"matmul", "MxKxN", "512x2560x2560"},
                                     {"matvec", "MxK", "2560x2560"},
                                     {"conv2d", "NxHxWxCxOxK", "1x56x56x64x64x3"},
                                     {"softmax", "RxC", "512x2560"},
                                     {"layer_norm", "RxC", "512x2560"},
                                     {"gelu", "N", "1310720"},
                                     {"sum", "N", "1310720"},
                                     {"sort", "N", "1310720"},
                                     {"train_mnist", "N", "64"}};

std::vector<lab::Job> operations(const Options& o) {
  const Operation& op = *std::ranges::find(kOperations, o.op, &Operation::name);
  const auto sizes = std::ranges::count(op.sizes, 'x') + 1;
  std::vector<lab::Job> jobs;
  for (const std::string& shape : words(o.shapes.empty() ? std::string(op.usual) : o.shapes, ','))
    for (const std::string& dtype : words(o.dtypes, ',')) {
      lab::Job job;
      job.kind = lab::JobKind::op;
      job.op = o.op;
      job.dtype = short_name(llm::parse_dtype(dtype));
      for (const std::string& size : words(shape, 'x'))
        job.shape.push_back(positive("--shape", size));
      if (ptrdiff_t(job.shape.size()) != sizes)
        wrong("--shape", shape, fmt::format("{} for {}", op.sizes, op.name));
      jobs.push_back(std::move(job));
    }
  return jobs;
}

/// "128,512", "1-4", "0-1024+256" or "1-64*2", as llama-bench has them.
std::vector<int> counts(const std::string& option, const std::string& text) {
  constexpr int kMost = 1 << 20;
  std::vector<int> all;
  for (const std::string& word : words(text, ',')) {
    const size_t dash = word.find('-'), step = word.find_first_of("+*", dash + 1);
    const int first = positive(option, word.substr(0, dash));
    if (dash == word.npos) {
      all.push_back(first);
      continue;
    }
    const int last = positive(option, word.substr(dash + 1, step - dash - 1)),
              by = step == word.npos ? 1 : positive(option, word.substr(step + 1));
    const bool times = step != word.npos && word[step] == '*';
    if (last < first || last > kMost || (times && by == 1))
      wrong(option, word, "a range that grows, e.g. 128-1024*2");
    for (int64_t n = first; n <= last; n = times ? n * by : n + by) all.push_back(int(n));
  }
  for (int n : all)
    if (n > kMost) wrong(option, text, fmt::format("no more than {}", kMost));
  if (all.empty() || all.size() > 100) wrong(option, text, "1 to 100 numbers");
  return all;
}

lab::Job generation(const Options& o, const fs::path& folder, int prompt_tokens, int tokens,
                    int batch) {
  const ModelFiles files(folder);
  lab::Job job;
  job.kind = o.job == "prefill" ? lab::JobKind::prefill
             : o.job == "batch" ? lab::JobKind::batch
                                : lab::JobKind::generate;
  job.model = fs::absolute(folder).lexically_normal().string();
  job.random_weights = o.random_weights;
  job.new_tokens = job.kind == lab::JobKind::prefill ? 1 : tokens;
  job.batch = batch > 0 ? batch : job.kind == lab::JobKind::batch ? 8 : 1;
  // A text if there is one; prefill wants many ids, and a bare config has no tokenizer.
  const bool prefill = job.kind == lab::JobKind::prefill && !o.prompt_given;
  const bool bare = !llm::Tokenizer::file_in(files) && !o.prompt_given;
  if (prompt_tokens > 0 || prefill || bare) {
    const auto config = llm::language_config(llm::read_config(files));
    const int context = config.positive("max_position_embeddings", 1 << 30);
    const int count = prompt_tokens > 0 ? prompt_tokens
                      : prefill         ? std::min(512, context / 2)
                                        : kBarePrompt;
    job.prompt_ids = lab::random_ids(count, config.positive("vocab_size"));
  } else {
    job.prompt = o.prompt;
    job.prompt_ids = llm::Tokenizer::load(files).encode(o.prompt);
    if (job.prompt_ids.empty()) wrong("--prompt", o.prompt, "a text with at least one token");
  }
  job.prompt_tokens = int(job.prompt_ids.size());
  return job;
}

/// A job for each of the shapes asked for.
std::vector<lab::Job> generations(const Options& o, const fs::path& folder) {
  const auto list = [](const char* option, const std::string& text) {
    return text.empty() ? std::vector<int>{0} : counts(option, text);
  };
  std::vector<lab::Job> jobs;
  for (const int prompt : list("--prompt-tokens", o.prompt_tokens))
    for (const int tokens : list("--tokens", o.tokens.empty() ? "200" : o.tokens.back()))
      for (const int batch : list("--batch", o.batch))
        jobs.push_back(generation(o, folder, prompt, tokens, batch));
  return jobs;
}

std::vector<lab::EngineSpec> available_engines(std::string_view what) {
  std::vector<lab::EngineSpec> specs;
  for (const EngineFound& found : find_engines(what))
    if (found.hello.value && !found.hello.value->lacks.contains(std::string(what)) &&
        found.known.name != "openai" && found.known.name != "server")
      specs.push_back(
          lab::parse_engine(fmt::format("{}:{}", found.known.name, found.hello.value->device)));
  return specs;
}

std::string default_name() {
  return fmt::format("hearth-lab-{:%Y%m%d-%H%M%S}.json", fmt::gmtime(std::time(nullptr)));
}

/// Claims the result's journal: an hour of samples is not replaced by mistake. Without -o the name
/// is one that no other run has.
std::unique_ptr<lab::Journal> claim(std::string& out, const Options& o) {
  using Earlier = lab::Journal::Earlier;
  const Earlier earlier = !o.resume.empty() && out == o.resume ? Earlier::read
                          : o.overwrite                        ? Earlier::replaced
                                                               : Earlier::refused;
  const fs::path wanted = out;
  const bool any = o.out.empty() && o.resume.empty();
  std::error_code none;
  for (int n = 2; any && n < 1000; ++n) {
    if (!fs::exists(out, none)) try {
        return std::make_unique<lab::Journal>(out, earlier);
      } catch (const lab::Taken&) {
      }
    out = fmt::format("{}-{}.json", wanted.stem().string(), n);
  }
  return std::make_unique<lab::Journal>(out, earlier);
}

void refuse_to_replace(const fs::path& out, const Options& o) {
  std::error_code none;
  const bool goes_on = !o.resume.empty() && fs::equivalent(out, o.resume, none);
  ensure(o.overwrite || goes_on || !fs::exists(out, none), out.string(),
         ": is there already; --overwrite replaces it, --resume goes on with one that was "
         "interrupted, another -o keeps it");
}

/// Where the result goes: named, ready to be written to, and claimed.
std::pair<std::string, std::unique_ptr<lab::Journal>> destination(const Options& o) {
  std::string out = !o.out.empty() ? o.out : !o.resume.empty() ? o.resume : default_name();
  refuse_to_replace(out, o);
  OutputFile{out};  // an hour of samples must not end in a folder that cannot be written to
  o.exports.check();
  auto journal = claim(out, o);
  return {std::move(out), std::move(journal)};
}

/// Everything that is made of a result once it is written.
void show(const lab::Result& result, const std::string& out, const Options& o) {
  o.exports.write(result);
  print_out(summary(result));
  print_out(fmt::format("{}\n", out));
  if (const fs::path page = fs::path(out).replace_extension(".html"); page != fs::path(out)) {
    OutputFile file(page);
    file.write(std::string_view(lab::report_html(result)));
    file.commit();
    print_out(fmt::format("{}\n", page.string()));
  }
  if (o.history && result.plan.finished) print_out(keep_in_history(result));
}

void run_commands(const Options& o, lab::CommandOptions options) {
  const auto [out, journal] = destination(o);
  options.keep = [&journal = *journal](const lab::Addition& more) { journal.write(more); };
  lab::Result result;
  {
    CatchInterrupt ctrl_c;
    ProgressLine line;
    result = lab::run_commands(options, CatchInterrupt::flag(), std::ref(line));
  }
  std::string failed;
  bool measured = false;
  for (const auto& e : result.engines) {
    if (!e.faults.empty()) failed = fmt::format("{}: {}", e.label, e.faults.front());
    measured |= !e.totals(0).empty();
  }
  if (measured) {
    journal->close(result);
    show(result, out, o);
  }
  ensure(failed.empty(), lab::one_line(failed));
  CatchInterrupt::fail_if_interrupted();
}

void run(const Options& o) {
  lab::RunOptions options = o.turns.run_options();
  options.against_itself = o.against_itself;
  options.telemetry_period_s = period(o.telemetry);
  options.take_turns = o.take_turns;
  options.limits = !o.no_limits;
  if (!o.target_ci.empty()) options.target_ci = parse_share(o.target_ci, "--target-ci");

  auto [out, claimed] = destination(o);
  const std::unique_ptr<lab::Journal>& journal = claimed;
  std::optional<lab::Result> before;
  if (!o.resume.empty()) {
    before = journal->found();
    const bool was_killed = before.has_value();
    if (!was_killed) before = lab::read_result(o.resume);
    ensure(before->jobs.empty() || before->jobs[0].kind != lab::JobKind::command, o.resume,
           ": commands are measured anew; give them to `hearth lab run --command`");
    if (!was_killed) {
      ensure(!before->plan.finished, o.resume, ": this run is finished");
      lab::Addition all;
      all.state = {*before};
      journal->write(all);
    }
    ensure(!before->jobs.empty() && !before->engines.empty(), o.resume,
           ": nothing to go on with: no jobs, or no engines");
    options.pairs = before->plan.pairs;
    options.starts = before->plan.starts;
    options.watch = !before->plan.ignores_others;
    options.target_ci = before->plan.target_ci;
    options.least_seconds = before->plan.least_seconds;
    options.telemetry_period_s = before->plan.telemetry_period_s.value.value_or(0);
    for (const auto& e : before->engines)
      options.engines.push_back(lab::parse_engine(lab::spec_of_label(e.label)));
    options.jobs = before->jobs;
  }
  options.keep = [&journal = *journal](const lab::Addition& more) { journal.write(more); };
  const bool op = before ? before->jobs[0].kind == lab::JobKind::op : o.job == "op";
  if (!before) {
    options.jobs = op ? operations(o)
                      : generations(o, o.model.empty() ? shipped_model() : find_model(o.model));
    if (o.engines.empty())
      options.engines = available_engines(op ? "op" : "generate");
    else
      for (const std::string& list : o.engines)
        for (lab::EngineSpec& spec : lab::parse_engines(list))
          options.engines.push_back(std::move(spec));
    for (const auto& spec : options.engines) command_of(spec, options.places);  // known?
  }
  const CatchInterrupt ctrl_c;  // as long as the model's folder, which goes with us
  std::optional<JobModel> model;
  if (!op) {
    const auto forget = [&mine = claimed] { mine.reset(); };  // a journal with nothing in it goes
    options.model = model.emplace(options.jobs[0], o.dtype, forget).folder();
  }
  lab::Result result;
  {
    ProgressLine line;
    result = lab::run(options, CatchInterrupt::flag(), std::ref(line), std::move(before));
  }
  journal->close(result);
  show(result, out, o);
  if (!before && o.engines.empty() && options.engines.size() == 1)
    print_out("Only hearth is here; `hearth lab engines` lists what the others need.\n");
  ensure(result.plan.finished, "interrupted; `hearth lab run --resume ", out, "` goes on");
  bool any = false;
  for (const auto& e : result.engines)
    any |= e.status == lab::EngineStatus::ok || e.status == lab::EngineStatus::partial;
  ensure(any, "no engine could be measured; the reasons are in ", out);
  // Without a list of engines those are taken that do the job; one that was asked for must.
  if (!o.engines.empty() || !o.resume.empty())
    for (const auto& e : result.engines)
      ensure(e.status == lab::EngineStatus::ok || e.status == lab::EngineStatus::partial,
             lab::one_line(e.label), ": ",
             e.faults.empty() ? "it could not be measured" : lab::one_line(e.faults.front()),
             "; the others are in ", out);
  for (const auto& e : result.engines)
    for (const std::string& fault : e.faults)
      ensure(fault.find("E_TOKENS") == fault.npos, lab::one_line(e.label + ": " + fault));
}

}  // namespace

void add_lab_run(Command& lab) {
  auto* command = lab.add_subcommand("run", "Measure engines on one job; keeps every sample");
  auto o = std::make_shared<Options>();
  command
      ->add_option("-m,--model", o->model, "A folder, or a name as on the Hub (default: tiny-phi)")
      ->check(named_model)
      ->type_name("MODEL");
  command->add_flag("--random-weights", o->random_weights,
                    "Fill the shape of its config.json with random weights, the same for all");
  command->add_option("--dtype", o->dtype, "Of random weights: f16, bf16 or f32")
      ->capture_default_str()
      ->type_name("D");
  command
      ->add_option(
          "--engines", o->engines,
          "name[@program][:device[:key=value,...]],... or server:COMMAND (default: all that are "
          "here)")
      ->allow_extra_args(false)
      ->take_all()
      ->check([](const std::string& list) {
        return list.empty() ? "'', wanted e.g. hearth,torch" : std::string();
      })
      ->type_name("LIST");
  command->add_option("--job", o->job, "generate, prefill, batch, op or command")
      ->one_of({"generate", "prefill", "batch", "op", "command"})
      ->capture_default_str()
      ->type_name("JOB");
  auto* prompt = command->add_option("--prompt", o->prompt, "The text to continue");
  prompt->capture_default_str()->type_name("TEXT");
  command
      ->add_option("-p,--prompt-tokens", o->prompt_tokens,
                   "Instead of a text: N random ids; several with commas, or 128-1024*2")
      ->type_name("N");
  command
      ->add_option("-n,--tokens", o->tokens,
                   "New tokens; several as above (of commands: the next one's name)")
      ->allow_extra_args(false)
      ->take_all()
      ->default_str("200")
      ->type_name("N");
  command
      ->add_option("-b,--batch", o->batch, "Rows at once (of the job batch: 8); several as above")
      ->type_name("N");
  const std::vector<Option*> of_op = {
      command
          ->add_option("--op", o->op,
                       "matmul, matvec, conv2d, softmax, layer_norm, gelu, sum, sort, train_mnist")
          ->one_of({"matmul", "matvec", "conv2d", "softmax", "layer_norm", "gelu", "sum", "sort",
                    "train_mnist"})
          ->capture_default_str()
          ->type_name("OP"),
      command
          ->add_option("--shape", o->shapes,
                       "Of the op, several with commas: 512x512x512,64x64x64 (default: one size)")
          ->type_name("S"),
      command->add_option("--op-dtype", o->dtypes, "Of the op: f32, f16, bf16, several with commas")
          ->capture_default_str()
          ->type_name("D"),
  };
  o->turns.add_to(*command, 1);
  command
      ->add_option("--target-ci", o->target_ci,
                   "Go on until every interval is within this, e.g. 1%")
      ->type_name("X%");
  command->add_flag("--aa", o->against_itself, "Every engine against itself too: the noise");
  command->add_flag("--take-turns", o->take_turns, "Load one engine at a time");
  command->add_option("--telemetry", o->telemetry, "How often to look: 100ms, 1s, off")
      ->capture_default_str()
      ->type_name("T");
  command->add_flag("--no-limits", o->no_limits, "Do not measure the machine's limits");
  command->add_option("--resume", o->resume, "Go on with an interrupted run")->type_name("F");
  auto* result =
      command->add_option("-o,--result", o->out, "The result (default: hearth-lab-TIME.json)");
  result->type_name("F");
  command
      ->add_option("--output", o->where,
                   "Of commands: what becomes of it, null, pipe, inherit or a file (of engines: "
                   "as -o)")
      ->type_name("F");
  command->add_flag("--history", o->history, "Add the result to the history of this machine");
  command->add_flag("--overwrite", o->overwrite, "Replace a result that is there already");
  o->commands.add_to(*command);
  o->exports.add_to(*command);
  command->callback([o, command, result, prompt, of_op] {
    if (o->commands.wanted(*command)) {
      try {
        lab::CommandOptions options = o->commands.options(*command, o->where, o->tokens);
        options.take_turns |= o->take_turns;
        options.telemetry_period_s = period(o->telemetry);
        if (!o->target_ci.empty()) options.target_ci = parse_share(o->target_ci, "--target-ci");
        run_commands(*o, options);
      } catch (const std::invalid_argument& error) {
        throw UsageError(error.what());
      }
      return;
    }
    if (o->tokens.size() > 1)
      throw UsageError(
          fmt::format("--tokens: given {} times, wanted once; several "
                      "numbers go with commas",
                      o->tokens.size()));
    if (!o->where.empty() && result->count() > 0) throw UsageError("give one of -o and --output");
    if (o->out.empty()) o->out = o->where;

    for (const char* begun :
         {"--model", "--random-weights", "--engines", "--job", "--prompt", "--prompt-tokens",
          "--tokens", "--batch", "--op", "--shape", "--op-dtype", "--pairs", "--seconds",
          "--target-ci", "--aa", "--telemetry", "--starts", "--ignore-others"})
      if (!o->resume.empty() && command->get_option(begun).count() > 0)
        throw UsageError(
            fmt::format("{}: --resume goes on with what the run began with; leave it out", begun));
    for (const Option* option : of_op)
      if (option->count() > 0 && o->job != "op")
        throw UsageError(fmt::format("{}: belongs to --job op", option->get_name()));
    o->prompt_given = prompt->count() > 0;
    if (o->prompt_given && !o->prompt_tokens.empty())
      throw UsageError("give one prompt: --prompt or --prompt-tokens");
    try {
      run(*o);
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
  });
}

}  // namespace hearth::cli
