// hearth logits: what the model says of every position, as a NumPy file.
#include "hearth/cli/commands.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/npy.h"
#include "hearth/llm/finite.h"
#include "hearth/ops/ops.h"

namespace hearth::cli {

namespace {

struct Options : ModelOptions {
  std::string ids, out;
};

void run(const Options& o) {
  const auto ids = parse_ids(o.ids, "--ids");
  const auto model = o.load();
  for (int id : ids)
    check(id < model->facts.vocab_size, "--ids: ", id, " is not in the vocabulary of ",
          model->facts.vocab_size);
  auto cache = model->make_cache();
  const array tokens(ids.begin(), Shape{1, int(ids.size())}, int32);
  const array logits = model->forward({tokens, {}, false}, cache);  // (1, L, vocab)
  const array all = astype(squeeze(logits, 0), float32);
  const std::string file = o.out.ends_with(".npy") ? o.out : o.out + ".npy";
  save(file, all);
  llm::check_finite(*model, all, ids, concat("logits (in ", file, ")"));
  print_out(concat(file, ": ", all.dtype(), " ", all.shape(), "\n"));
}

}  // namespace

void add_logits(Command& app) {
  auto* command =
      app.add_subcommand("logits", "Write the logits of a sequence of ids to a .npy file");
  auto o = std::make_shared<Options>();
  o->add_to(*command);
  command->add_option("--ids", o->ids, "Token ids: 1,2,3")->required()->type_name("IDS");
  command
      ->add_option("-o,--out", o->out,
                   "The file: float32 (length, vocabulary); .npy is added to another name")
      ->required()
      ->type_name("F.npy");
  command->callback([o] { run(*o); });
}

}  // namespace hearth::cli
