// hearth lab explain: why one engine of a result took longer than another.
#include "hearth/lab/judge/explain.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/cli/options.h"
#include "hearth/lab/result/result_json.h"
#include "hearth/lab/show/explain_text.h"
#include "hearth/lab/show/plain.h"
#include "hearth/lab/show/text.h"

namespace hearth::cli {

namespace {

struct Options {
  std::string file, a, b;
  int job = 1;
  bool json = false;
};

void explain(const Options& o) {
  const lab::Result result = lab::plain(lab::read_result(o.file));
  const int job = o.job - 1;
  const std::string first = lab::one_line(o.a);
  auto [a, b] = o.b.empty() ? lab::first_two(result, job) : std::pair(first, lab::one_line(o.b));
  if (o.b.empty() && !first.empty()) {  // one engine against the first other
    if (first == b) b = a;
    a = first;
  }
  const lab::Explanation why = lab::explain(result, a, b, job);
  if (o.json) return show_json(to_json(why));
  print_out(to_text(why, result, size_t(width(STDOUT_FILENO))));
}

}  // namespace

void add_lab_explain(Command& lab) {
  auto* command = lab.add_subcommand("explain", "Say why one engine of a result took longer");
  auto o = std::make_shared<Options>();
  command->add_option("result", o->file, "What `hearth lab run` wrote")->required()->type_name("F");
  command->add_option("a", o->a, "An engine (default: the slower of the first two)")
      ->type_name("A");
  command->add_option("b", o->b, "Another (default: the other of the first two)")->type_name("B");
  add_number(*command, "--job", o->job, {1, 9999}, "The number of the job, from 1");
  command->add_flag("--json", o->json, "Print JSON (keys: docs/lab.md)");
  command->callback([o] {
    try {
      explain(*o);
    } catch (const std::invalid_argument& error) {
      throw UsageError(error.what());
    }
  });
}

}  // namespace hearth::cli
