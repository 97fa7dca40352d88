#include "hearth/llm/recognize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "hearth/base/listed.h"
#include "hearth/io/foreign.h"
#include "hearth/io/gguf.h"
#include "hearth/io/recognize.h"
#include "hearth/llm/gguf.h"
#include "hearth/llm/registry.h"
#include "hearth/llm/tokenizer.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace fs = std::filesystem;

namespace {

// What every model passes over, what checkpoints of the trunk alone lack, and what MLX's folders
// have in the form of the parameters: stacked experts, and the two halves of latent attention.
const std::vector<Rewrite>& common_rewrites() {
  static const std::vector<Rewrite> all = [] {
    std::vector<Rewrite> rules = {
        {"rotary_emb.inv_freq$", "", Rewrite::skip},  // follows from rope_theta
        {"^layers.", "model.layers."},
        {"^embed_tokens.", "model.embed_tokens."},
        {"^norm.", "model.norm."},
        {".block_sparse_moe.switch_mlp.", ".mlp.experts."},
        {".switch_mlp.", ".experts."},
        {".self_attn.embed_q.weight$", ".mla.k_b"},
        {".self_attn.unembed_out.weight$", ".mla.v_b"},
    };
    for (const std::string of : {"gate_proj", "up_proj", "down_proj"})
      for (const auto& [from, to] :
           {std::pair(".mlp.experts.", ".moe.experts."), std::pair(".experts.", ".experts.")}) {
        rules.push_back({from + of + ".weight$", to + of});
        rules.push_back({from + of + ".bias$", to + of + "_bias"});
      }
    return rules;
  }();
  return all;
}

bool same(const array& a, const array& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const array x = row_major(a), y = row_major(b);
  return std::memcmp(bytes_of(x).data(), bytes_of(y).data(), x.nbytes()) == 0;
}
bool same(const fast::Matrix& a, const fast::Matrix& b) {
  return a.packing() == b.packing() &&
         std::ranges::equal(a.planes(), b.planes(),
                            [](const array& x, const array& y) { return same(x, y); });
}

void settle_tied(LanguageModel& model, fast::Matrices& tensors, bool values) {
  const auto tied = model.tied();
  if (!tied) return;
  const auto head = tensors.find(tied->head), embedding = tensors.find(tied->embedding);
  if (head == tensors.end()) return;
  if (embedding == tensors.end()) {
    auto moved = tensors.extract(head);
    moved.key() = tied->embedding;
    tensors.insert(std::move(moved));
  } else if (!values || same(head->second, embedding->second)) {
    tensors.erase(head);
  } else {
    *tied->tied = false;
  }
}

}  // namespace

fast::Matrices arranged(const std::string& where, LanguageModel& model, fast::Matrices tensors,
                        bool values) {
  const std::string packed = packed_as_names_show(tensors);
  std::string problems;
  try {
    tensors = rewrite(std::move(tensors), common_rewrites(), values);
    tensors = rewrite(std::move(tensors), model.rewrites(), values);
    settle_tied(model, tensors, values);
    nn::Shapes shapes;
    for (const auto& [key, tensor] : tensors) shapes.emplace(key, tensor.shape());
    const auto before = [&](const std::string& name) {
      return name_before(name, model.rewrites());
    };
    problems = nn::mismatch(model.parameters(), shapes, {}, before);
  } catch (const std::runtime_error& error) {
    problems = error.what();
  }
  ensure(problems.empty() || packed.empty(), where, ": the weights are ", packed);
  ensure(problems.empty(), where,
         ": the weights are not those that config.json describes: ", problems);
  refuse_codes(where, model.parameters(), tensors);
  return tensors;
}

namespace {

/// What the file has, in its own types.
void count_gguf(const Gguf& file, Recognized& found) {
  std::set<std::string> types;
  found.tensors = file.tensors().size();
  found.bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    found.bytes += tensor.bytes;
    types.insert(ggml_type_name(tensor.type));
  }
  found.dtypes.assign(types.begin(), types.end());
  found.architecture = file.text("general.architecture").value_or("");
  found.mix = gguf_mix(file);
}

Recognized look_at(const ModelFiles& files, Recognized& found) {
  const fs::path& path = files.path();
  std::error_code none;
  ensure(fs::exists(path, none), path.string(), ": no such file or folder");
  const auto& gguf = files.gguf();
  if (!gguf && !fs::is_directory(path, none)) {
    const auto kind = recognize_file(path);
    const bool ours = path.extension() == ".safetensors" && !kind;
    ensure(!ours, path.string(), ": weights (safetensors) without their folder; name the folder, ",
           "with its config.json");
    ensure(kind.has_value(), path.string(), ": a file of a kind that hearth does not know; it ",
           "reads folders with a config.json and safetensors");
    ensure(false, path.string(), " is ", kind->is, ", not the folder of a model",
           kind->next.empty() ? "" : ". ", kind->next);
  }
  found.tokenizer = Tokenizer::file_in(files).has_value();
  const Checkpoint checkpoint = read_checkpoint(files);
  const JsonObject config = language_config(checkpoint.config);
  found.type = config.text("model_type", "");
  found.packed = packed_by(checkpoint.config);
  const auto model = make_model(checkpoint.config);
  const auto tensors =
      arranged(path.string(), *model, checkpoint.tensors(/*values=*/false), /*values=*/false);
  nn::load(model->parameters(), tensors);  // they have no values
  found.costs = model->costs(config_dtype(config));
  std::set<std::string> dtypes;
  for (const auto& [name, tensor] : tensors) {
    ++found.tensors;
    found.parameters += tensor.size();
    found.bytes += tensor.nbytes();
    dtypes.insert(
        std::string(tensor.packed() ? to_string(tensor.packing()) : short_name(tensor.dtype())));
  }
  found.dtypes.assign(dtypes.begin(), dtypes.end());
  if (gguf) count_gguf(*gguf, found);
  found.usable = true;
  found.sentence =
      fmt::format("{}: a {} model, {:.1f} M parameters in {} tensors of {}, {:.1f} MB{}{}",
                  path.string(), found.type, double(found.parameters) / 1e6, found.tensors,
                  listed(found.dtypes), double(found.bytes) / 1e6,
                  model->facts.wrapper.empty()
                      ? ""
                      : "; only its language model is run: images and sound are not read",
                  found.tokenizer ? "" : "; it has no tokenizer, so it takes token ids only");
  return found;
}

}  // namespace

Recognized recognize(const ModelFiles& files) {
  Recognized found;
  try {
    look_at(files, found);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    found.sentence = error.what();
  }
  return found;
}

}  // namespace hearth::llm
