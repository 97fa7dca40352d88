#include "hearth/llm/state_file.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "hearth/io/file_hash.h"
#include "hearth/io/foreign.h"
#include "hearth/io/safetensors.h"
#include "hearth/ops/ops.h"

namespace hearth::llm {

namespace {

constexpr const char* kVersion = "1";  // of the file's form
// Keys of the file's metadata.
constexpr const char *kState = "hearth_state", *kType = "model_type", *kModel = "model",
                     *kDtype = "dtype", *kReadAs = "read_as", *kPrompt = "prompt", *kMark = "mark",
                     *kHash = "sha256", *kKv = "kv";
// Names of its tensors; "layers.3.0" is the first part of layer 3.
constexpr const char *kIds = "ids", *kLayers = "layers", *kMarked = "marked";

using Metadata = std::unordered_map<std::string, std::string>;

std::string tensor_name(const char* of, size_t layer, size_t part) {
  return concat(of, ".", layer, ".", part);
}

void add_layers(const char* of, const std::vector<Arrays>& layers, Tensors& tensors) {
  for (size_t i = 0; i < layers.size(); ++i)
    for (size_t p = 0; p < layers[i].size(); ++p)
      tensors.emplace(tensor_name(of, i, p), layers[i][p]);
}

/// The same back; `used` counts them.
std::vector<Arrays> find_layers(const char* of, int count, const Tensors& tensors, size_t& used) {
  std::vector<Arrays> layers(static_cast<size_t>(count));
  for (size_t i = 0; i < layers.size(); ++i)
    for (;; ++used) {
      const auto part = tensors.find(tensor_name(of, i, layers[i].size()));
      if (part == tensors.end()) break;
      layers[i].push_back(part->second);
    }
  return layers;
}

void add_tensor(FileHash& hash, const std::string& name, const array& x) {
  const array values = row_major(x);
  const auto bytes = bytes_of(values);
  hash.add(concat(name, " ", x.dtype(), " ", x.shape(), "\n"));
  hash.add({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

/// What a model is told apart by: its configuration, what its parameters are called, their shapes
/// and dtypes, and some values of each, at most 4 along each axis.
std::string hash_of(LanguageModel& model) {
  FileHash hash = FileHash::sha256();
  hash.add(concat(model.facts.config_hash, "\n"));
  for (const auto& [name, p] : model.parameters()) {
    for (const array& plane : p.planes()) {
      const Shape& shape = plane.shape();
      Shape start(shape.size(), 0), steps = start;
      for (size_t i = 0; i < steps.size(); ++i) steps[i] = std::max(1, (shape[i] + 3) / 4);
      add_tensor(hash, concat(name, " ", shape), copy(slice(plane, start, shape, steps)));
    }
  }
  return hash.digits();
}

/// Of all that a file says: damage shows.
std::string hash_of(const Metadata& metadata, const Tensors& tensors) {
  FileHash hash = FileHash::sha256();
  for (const char* key : {kState, kType, kModel, kDtype, kReadAs, kPrompt, kMark})
    hash.add(concat(key, "=", metadata.at(key), "\n"));
  if (const auto kv = metadata.find(kKv); kv != metadata.end())
    hash.add(concat(kKv, "=", kv->second, "\n"));
  std::vector<std::string> names;
  for (const auto& [name, x] : tensors) names.push_back(name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) add_tensor(hash, name, tensors.at(name));
  return hash.digits();
}

}  // namespace

void save_state(const std::filesystem::path& file, LanguageModel& model, const Beginning& state) {
  check(state.ids.size() == size_t(state.row.length), "save_state: ", state.ids.size(),
        " ids, the state has ", state.row.length);
  Tensors tensors;
  tensors.emplace(kIds, array(state.ids.begin(), Shape{state.row.length}, int32));
  add_layers(kLayers, state.row.layers, tensors);
  add_layers(kMarked, state.row.marked, tensors);
  Metadata metadata{{kState, kVersion},
                    {kType, model.facts.type},
                    {kModel, hash_of(model)},
                    {kDtype, std::string(short_name(model.facts.dtype))},
                    {kReadAs, concat(state.row.read_as)},
                    {kPrompt, concat(state.prompt)},
                    {kMark, concat(state.row.mark)}};
  if (model.facts.state != Packing::dense) metadata[kKv] = state_name(model.facts.state);
  metadata[kHash] = hash_of(metadata, tensors);
  write_safetensors(file, tensors, metadata);
}

Beginning load_state(const std::filesystem::path& file, LanguageModel& model) {
  const std::string name = file.string();
  const auto& facts = model.facts;
  auto [tensors, metadata] = read_safetensors(file, "make it again with --save-state");
  ensure(metadata.contains(kState), name,
         ": these are tensors, but no state; wanted a file that --save-state wrote");
  const auto said = [&, &metadata = metadata](const char* key) -> const std::string& {
    const auto found = metadata.find(key);
    ensure(found != metadata.end(), name, ": the state is damaged: ", in_quotes(key),
           " is missing; make it again with --save-state");
    return found->second;
  };
  ensure(said(kState) == kVersion, name, ": the state has the form ", in_quotes(said(kState)),
         ", this hearth reads form ", kVersion, "; make it again with --save-state");
  ensure(said(kType) == facts.type, name, ": this is the state of a ", in_quotes(said(kType)),
         " model, and this is ", in_quotes(facts.type),
         "; give --model the one that it was made with, or make another with --save-state");
  ensure(said(kDtype) == short_name(facts.dtype), name, ": the state is of ",
         in_quotes(said(kDtype)), ", the model runs in ", short_name(facts.dtype),
         "; give --dtype ", in_quotes(said(kDtype)), ", or make another with --save-state");
  const auto kv = metadata.find(kKv);
  const std::string kept = kv == metadata.end() ? "" : kv->second;
  const auto shown = [](std::string_view state) {
    return state.empty() ? std::string("the model's dtype") : in_quotes(state);
  };
  ensure(kept == state_name(facts.state), name, ": the state's keys and values are in ",
         shown(kept), ", the model keeps them in ", shown(state_name(facts.state)), "; ",
         kept.empty() ? "leave --kv out" : concat("give --kv ", in_quotes(kept)),
         ", or make another with --save-state");
  ensure(said(kModel) == hash_of(model), name, ": this is the state of another ", facts.type,
         " model: its config.json or its weights differ; give --model the one that it was made "
         "with, or make another with --save-state");
  for (const char* key : {kReadAs, kPrompt, kMark, kHash}) said(key);
  const std::string damaged = concat(
      name, ": the state is damaged: it is not what was saved; make it again with --save-state");
  ensure(hash_of(metadata, tensors) == said(kHash), damaged);

  const auto number = [&](const char* key) {
    const std::string& text = said(key);
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    ensure(error == std::errc() && end == text.data() + text.size() && value >= 0, damaged);
    return value;
  };
  const auto ids = tensors.find(kIds);
  ensure(ids != tensors.end() && ids->second.ndim() == 1 && ids->second.dtype() == int32, damaged);
  Beginning state{.ids = ids->second.to_vector<int>(), .prompt = number(kPrompt)};
  for (const int id : state.ids)
    ensure(id >= 0 && id < facts.vocab_size, name, ": token ", id, " of the state is not in the ",
           "vocabulary of ", facts.vocab_size);
  ensure(size_t(state.prompt) <= state.ids.size(), damaged);
  size_t used = 1;
  state.row.length = int(state.ids.size()), state.row.read_as = number(kReadAs);
  state.row.layers = find_layers(kLayers, facts.layers, tensors, used);
  state.row.mark = number(kMark);
  if (state.row.mark > 0) state.row.marked = find_layers(kMarked, facts.layers, tensors, used);
  ensure(used == tensors.size(), damaged);
  try {
    check_fits(model.cache_shape(), state.row);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(concat(name, ": ", error.what()));
  }
  return state;
}

}  // namespace hearth::llm
