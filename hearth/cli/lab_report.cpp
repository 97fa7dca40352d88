// hearth lab report: a result as a page, as charts, and in the terminal.
#include "hearth/lab/show/report.h"

#include <unistd.h>

#include "hearth/base/error.h"
#include "hearth/cli/lab.h"
#include "hearth/cli/model_options.h"
#include "hearth/io/output_file.h"
#include "hearth/lab/result/result_json.h"

namespace hearth::cli {

namespace fs = std::filesystem;

namespace {

struct Options {
  std::string file, page, svg;
};

void write_file(const fs::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

void report(const Options& o) {
  const lab::Result result = lab::read_result(o.file);
  const fs::path page =
      o.page.empty() ? fs::path(o.file).replace_extension(".html") : fs::path(o.page);
  ensure(page != fs::path(o.file), "report: ", page.string(),
         " is the result itself; name another -o");
  write_file(page, lab::report_html(result));
  if (!o.svg.empty()) {
    fs::create_directories(o.svg);
    for (const auto& [name, text] : lab::report_svgs(result))
      write_file(fs::path(o.svg) / name, text);
  }
  print_out(lab::report_text(result, width(STDOUT_FILENO) - 2) + page.string() + "\n");
}

}  // namespace

void add_lab_report(Command& lab) {
  auto* command = lab.add_subcommand("report", "Show a result as a page and as charts");
  auto o = std::make_shared<Options>();
  command->add_option("result", o->file, "What `hearth lab run` wrote")->required()->type_name("F");
  command->add_option("-o,--output", o->page, "The page (default: beside the result, .html)");
  command->add_option("--svg", o->svg, "Also write each chart as SVG into this folder");
  command->callback([o] { report(*o); });
}

}  // namespace hearth::cli
