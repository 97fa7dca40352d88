// hearth quantize: a model's weights in fewer bits, as a GGUF file or in MLX's form.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "hearth/cli/divergence.h"
#include "hearth/cli/interrupt.h"
#include "hearth/cli/json_out.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/cli/progress.h"
#include "hearth/io/hub.h"
#include "hearth/llm/gguf_out.h"
#include "hearth/llm/mlx_out.h"

namespace hearth::cli {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Progress = std::function<bool(size_t done, size_t all)>;

struct Options {
  std::string model, to, out, importance, check;
  bool json = false;

  fs::path from() const { return model.empty() ? shipped_model() : find_model(model); }
};

double bits(size_t bytes, size_t weights) {
  return weights ? 8.0 * double(bytes) / double(weights) : 0;
}

/// What is written must not be what is read: a file, one of several, or one in a folder.
void refuse_own_input(const Options& o) {
  std::error_code none;
  const fs::path from = o.from(), to = o.out;
  if (!fs::exists(to, none)) return;
  const fs::path beside = fs::is_directory(from, none) ? from : fs::absolute(from).parent_path();
  bool input = fs::equivalent(from, to, none);
  const bool parts = from.filename().string().find("-of-") != std::string::npos;
  if (beside == from || parts)
    for (const auto& entry : fs::directory_iterator(beside, none))
      input = input || fs::equivalent(entry.path(), to, none);
  ensure(!input, o.out, ": is what is read; name another file to write");
}

/// What both make of a text.
llm::Divergence compared(const Options& o) {
  const auto base = llm::load_model(o.from()), model = llm::load_model(o.out);
  const llm::Tokenizer tokenizer = llm::Tokenizer::load(o.from());
  llm::Windows windows{tokenizer.encode(read_text(o.check)),
                       std::min({512, base->facts.context_length, model->facts.context_length}),
                       {}};
  if (const auto around = tokenizer.encode(""); !around.empty()) windows.first = around[0];
  ProgressBar bar;
  return llm::divergence(*base, *model, windows, [&](size_t done, size_t all) {
    bar.show(done, all, fmt::format("{} of {} tokens", done, all));
    return !CatchInterrupt::flag();
  });
}

/// The bytes that were read and written, and of which types they are.
struct Result {
  size_t weights, bytes_before, bytes;
  std::map<std::string, size_t> types;
};

Result to_gguf(const Options& o, const llm::GgufMixture& mixture, const Progress& progress) {
  llm::GgufModel model = llm::read_gguf_model(o.from());
  std::optional<llm::Importance> importance;
  if (!o.importance.empty()) importance = llm::read_importance(o.importance);
  const llm::Written w = llm::write_gguf(o.out, std::move(model), mixture,
                                         importance ? &*importance : nullptr, progress);
  if (w.without_importance)
    print_err(fmt::format("hearth: {} has nothing on {} of the packed tensors\n", o.importance,
                          w.without_importance));
  return {w.weights, w.bytes_before, w.bytes, w.types};
}

Result to_mlx(const Options& o, Packing packing, const Progress& progress) {
  if (!o.importance.empty())
    throw UsageError("--imatrix: MLX's forms have no use for it; wanted one of GGUF's types");
  const llm::MlxWritten w = llm::write_mlx(o.out, o.from(), packing, progress);
  return {w.weights, w.bytes_before, w.bytes, w.types};
}

void run(const Options& o) {
  refuse_own_input(o);
  CatchInterrupt ctrl_c;
  Result w;
  {
    ProgressBar bar;
    const Progress progress = [&](size_t done, size_t all) {
      bar.show(done, all, fmt::format("{} of {} MB", done / 1000000, all / 1000000));
      return !CatchInterrupt::flag();
    };
    const llm::GgufMixture* const mixture = llm::find_gguf_mixture(o.to);
    w = mixture ? to_gguf(o, *mixture, progress) : to_mlx(o, *llm::find_mlx_form(o.to), progress);
  }
  CatchInterrupt::fail_if_interrupted();
  std::optional<llm::Divergence> d;
  if (!o.check.empty()) d = compared(o);
  const double before = bits(w.bytes_before, w.weights), after = bits(w.bytes, w.weights);
  if (o.json) {
    json all = {{"output", o.out},
                {"type", o.to},
                {"weights", w.weights},
                {"bytes_before", w.bytes_before},
                {"bytes", w.bytes},
                {"bits_a_weight_before", before},
                {"bits_a_weight", after},
                {"types", w.types},
                {"check", d ? divergence_json(*d) : json()}};
    print_json(all);
    return CatchInterrupt::fail_if_interrupted();
  }
  std::vector<std::string> types;
  for (const auto& [type, count] : w.types) types.push_back(fmt::format("{} {}", type, count));
  print_out(fmt::format("{}: {}, {:.1f} M weights\n", o.out, o.to, double(w.weights) / 1e6));
  print_out(fmt::format("before         {:.1f} MB, {:.2f} bits a weight\n",
                        double(w.bytes_before) / 1e6, before));
  print_out(fmt::format("now            {:.1f} MB, {:.2f} bits a weight: {}\n",
                        double(w.bytes) / 1e6, after, fmt::join(types, ", ")));
  if (d) print_out(divergence_text(*d));
  CatchInterrupt::fail_if_interrupted();
}

}  // namespace

void add_quantize(Command& app) {
  auto* command = app.add_subcommand("quantize", "Write a model's weights in fewer bits");
  auto o = std::make_shared<Options>();
  add_model(*command, o->model);
  std::vector<std::string> names;
  for (const llm::GgufMixture& mixture : llm::gguf_mixtures()) names.emplace_back(mixture.name);
  for (const std::string& form : llm::mlx_forms()) names.push_back(form);
  command
      ->add_option("--to", o->to, "The type of most weights: llama.cpp's mixtures, or MLX's forms")
      ->required()
      ->one_of(names)
      ->type_name("TYPE");
  command->add_option("-o,--output", o->out, "The GGUF file, or the folder of MLX's form, to write")
      ->required()
      ->type_name("F");
  command
      ->add_option("--imatrix", o->importance,
                   "How much each column matters: of `hearth imatrix` or llama.cpp's llama-imatrix")
      ->type_name("F");
  command
      ->add_option("--check", o->check,
                   "A text, of which perplexity and KL divergence are shown, before and after")
      ->type_name("F");
  add_threads(*command);
  command->add_flag("--json", o->json, "Print one JSON object (docs/cli.md)");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
