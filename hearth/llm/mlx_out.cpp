#include "hearth/llm/mlx_out.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "hearth/base/error.h"
#include "hearth/io/checkpoint.h"
#include "hearth/io/foreign.h"
#include "hearth/io/gguf.h"
#include "hearth/io/json.h"
#include "hearth/io/output_file.h"
#include "hearth/io/safetensors_header.h"
#include "hearth/llm/checkpoint.h"
#include "hearth/llm/weight_rows.h"
#include "hearth/nn/module.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/quantize.h"

namespace hearth::llm {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kGroup = 64;  // of affine forms, MLX's default

/// Linear layers and embeddings; what chooses experts stays as it is.
bool packs_as(Packing packing, const std::string& name, const array& x) {
  if (!name.ends_with(".weight") || x.ndim() != 2 || !is_floating(x.dtype()) ||
      x.dtype() == float64 || !packs(packing, x.shape(1)))
    return false;
  for (const char* router : {".gate.weight", ".router.weight", "shared_expert_gate.weight"})
    if (name.ends_with(router)) return false;
  return true;
}

/// A tensor to be written, made when it is its turn.
struct MlxTensor {
  std::string from;  // the tensor that it is of
  int plane;         // -1: as it is
};

void refuse_not_finite(const std::string& where, const std::string& name, const array& x) {
  for (int64_t first = 0, rows = rows_in(x), count; first < rows; first += count) {
    count = std::min(rows - first, std::max<int64_t>(1, kWeightsAtOnce / x.shape(-1)));
    ensure(std::isfinite(largest_weight(values_of(rows_of(x, first, count)))), where, ": tensor ",
           in_quotes(name), ": a weight is NaN or infinite");
  }
}

nlohmann::json settings_of_form(Packing packing) {
  const bool affine = packing_info(packing).planes == 3;
  return {{"group_size", packing_info(packing).weights},
          {"bits", code_bits(packing)},
          {"mode", affine ? "affine" : std::string(to_string(packing))}};
}

void write_weights(const fs::path& to, const std::string& where, const Tensors& tensors,
                   Packing packing, const std::function<bool(size_t, size_t)>& progress,
                   MlxWritten& result, bool& ended) {
  std::vector<TensorInfo> infos;
  std::map<std::string, MlxTensor> outputs;
  const auto add = [&](const std::string& name, Dtype dtype, const Shape& shape, MlxTensor output) {
    infos.push_back({name, dtype, {shape.begin(), shape.end()}, 0, 0});
    outputs.emplace(name, std::move(output));
  };
  size_t done = 0;
  for (const auto& [name, x] : tensors) {
    result.weights += x.size(), result.bytes_before += x.nbytes();
    if (!packs_as(packing, name, x)) {
      ++result.types[std::string(short_name(x.dtype()))];
      add(name, x.dtype(), x.shape(), {name, -1});
      continue;
    }
    ++result.types[std::string(to_string(packing))];
    for (int i = 0; i < packing_info(packing).planes; ++i) {
      const Plane plane = plane_of(packing, i, x.shape(1));
      add(nn::plane_name(name, packing, i), plane.dtype.value_or(x.dtype()),
          {x.shape(0), int(plane.row)}, {name, i});
    }
  }
  OutputFile out(to);
  out.write(make_safetensors_header(infos, {{"format", "mlx"}}));
  for (const TensorInfo& info : infos) {
    const auto& [from, plane] = outputs.at(info.name);
    const array& x = tensors.at(from);
    if (plane == 0) refuse_not_finite(where, from, x);
    const array made =
        row_major(plane < 0 ? x : fast::quantize(x, packing).planes()[size_t(plane)]);
    out.write(bytes_of(made));
    result.bytes += made.nbytes();
    if (plane <= 0) done += x.nbytes();
    if (progress && !progress(done, result.bytes_before)) {
      ended = true;
      return;
    }
  }
  out.commit();
}

}  // namespace

std::vector<std::string> mlx_forms() {
  std::vector<std::string> names;
  for (const PackingInfo& info : kPackingInfo) {
    const Packing p = *find_packing(info.name);
    if (info.planes == 3 && info.weights == kGroup)
      names.push_back(concat("mlx-", code_bits(p), "bit"));
  }
  for (const Packing p : {Packing::mxfp4, Packing::mxfp8, Packing::nvfp4})
    names.push_back(concat("mlx-", to_string(p)));
  return names;
}

std::optional<Packing> find_mlx_form(std::string_view name) {
  for (const PackingInfo& info : kPackingInfo) {
    const Packing p = *find_packing(info.name);
    if (info.planes == 3 && info.weights == kGroup && name == concat("mlx-", code_bits(p), "bit"))
      return p;
  }
  for (const Packing p : {Packing::mxfp4, Packing::mxfp8, Packing::nvfp4})
    if (name == concat("mlx-", to_string(p))) return p;
  return std::nullopt;
}

MlxWritten write_mlx(const fs::path& to, const fs::path& from, Packing packing,
                     const std::function<bool(size_t done, size_t all)>& progress) {
  ensure(!find_gguf(from), from.string(),
         ": MLX's form is made of a folder with config.json and safetensors, not of a GGUF file");
  const JsonObject config = read_config(from);
  const std::string packed = packed_by(config);
  ensure(packed.empty(), from.string(), ": the weights are quantized already (", packed,
         "); name the folder that they were made of");
  std::error_code none;
  const bool there = fs::exists(to, none);
  ensure(!there || (fs::is_directory(to, none) && fs::is_empty(to, none)), to.string(),
         ": is there already; name a folder that is not, or is empty");
  const Tensors tensors = load_checkpoint(from);
  MlxWritten result;
  bool ended = false;
  const auto undo = [&] {
    for (const auto& entry : fs::directory_iterator(to, none)) fs::remove(entry.path(), none);
    if (!there) fs::remove(to, none);
  };
  try {
    fs::create_directories(to);
    write_weights(to / "model.safetensors", from.string(), tensors, packing, progress, result,
                  ended);
    if (!ended) {
      for (const auto& entry : fs::directory_iterator(from)) {
        const std::string name = entry.path().filename().string();
        const bool weights = name.find("safetensors") != name.npos || name.ends_with(".bin");
        const bool text = name.ends_with(".json") || name.ends_with(".txt") ||
                          name.ends_with(".jinja") || name.ends_with(".model") ||
                          name.ends_with(".tiktoken");
        if (fs::is_regular_file(entry.path()) && text && !weights && name != "config.json")
          fs::copy_file(entry.path(), to / name);
      }
      nlohmann::json json = config.raw();
      json["quantization"] = json["quantization_config"] = settings_of_form(packing);
      OutputFile out(to / "config.json");
      out.write(json.dump(2) + "\n");
      out.commit();
    }
  } catch (...) {
    undo();
    throw;
  }
  if (ended) {
    undo();
    return {};
  }
  return result;
}

}  // namespace hearth::llm
