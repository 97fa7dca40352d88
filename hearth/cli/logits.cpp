// hearth logits: what the model says of every position, as a NumPy file.
#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/npy.h"
#include "hearth/io/output_file.h"
#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string ids, out;
};

void run(const Options& o) {
  const auto ids = parse_ids(o.ids, "--ids");
  const OutputFile tried(o.out);  // before anything is computed
  const auto model = o.load();
  for (int id : ids)
    check(id < model->facts.vocab_size, "--ids: ", id, " is not in the vocabulary of ",
          model->facts.vocab_size);
  auto cache = model->make_cache();
  const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
  const array logits = model->forward({tokens, {}, false}, cache);  // (1, L, vocab)
  const array all = astype(squeeze(logits, 0), float32);
  write_npy(o.out, all);
  llm::check_finite(*model, all, ids, concat("logits (in ", o.out, ")"));
  const std::string line = concat(o.out, ": ", all.dtype(), " ", all.shape(), "\n");
  std::filesystem::is_regular_file(o.out) ? print_out(line) : print_err(line);
}

}  // namespace

void add_logits(Command& app) {
  auto* command =
      app.add_subcommand("logits", "Write the logits of a sequence of ids to a .npy file");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  command->add_option("--ids", o->ids, "Token ids: 1,2,3")->required()->type_name("IDS");
  command->add_option("-o,--out", o->out, "The file, of NumPy's form: float32 (length, vocabulary)")
      ->required()
      ->type_name("F");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
