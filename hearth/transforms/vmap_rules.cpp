#include "hearth/transforms/vmap_rules.h"

#include <functional>
#include <unordered_map>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "hearth/ops/movement.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_fast.h"
#include "hearth/ops/primitives_fft.h"
#include "hearth/ops/primitives_linalg.h"

namespace hearth::graph {

namespace {

using Inputs = std::span<const Batched>;
using Axes = SmallVector<int, 6>;

// Every input with the batch in front.
array mapped(const Batched& x, int batch) {
  if (x.mapped) return x.a;
  Shape shape = x.a.shape();
  shape.insert(shape.begin(), batch);
  return broadcast_to(expand_dims(x.a, 0), shape);
}
Arrays all_mapped(Inputs in, int batch) {
  Arrays out;
  for (const Batched& x : in) out.push_back(mapped(x, batch));
  return out;
}
int axes_of_one(const Batched& x) { return x.a.ndim() - x.mapped; }
// Axes of 1 behind the batch, so that an example has `axes`.
array with_axes_of_one(const Batched& x, int axes) {
  if (!x.mapped || axes_of_one(x) == axes) return x.a;
  Shape shape(x.a.shape().begin() + 1, x.a.shape().end());
  while (int(shape.size()) < axes) shape.insert(shape.begin(), 1);
  shape.insert(shape.begin(), x.a.shape(0));
  return reshape(x.a, shape);
}
Axes moved(const Axes& axes, bool with_batch = false) {
  Axes out;
  if (with_batch) out.push_back(0);
  for (int axis : axes) out.push_back(axis + 1);
  return out;
}
Shape behind(int first, const Shape& shape) {
  Shape out{first};
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}
Box behind(int batch, const Box& box) {
  return {behind(0, box.start), behind(1, box.strides), behind(batch, box.shape)};
}
// The batch's own places, in the shape of indices I: (B, 1, ...) to (B, I).
array own_places(int batch, const Shape& of_all) {
  Shape shape(of_all.size(), 1);
  shape[0] = batch;
  return broadcast_to(reshape(arange(batch), shape), of_all);
}

using AnyRule = std::function<std::optional<Arrays>(const std::shared_ptr<const Primitive>& op,
                                                    Inputs in, int batch)>;

// One output of an operation of these parameters on all inputs mapped.
template <class Op>
Arrays on_all(Op op, Inputs in, int batch) {
  return apply_all(std::make_shared<Op>(std::move(op)), [&] {
    Arrays all;
    for (const Batched& x : in) all.push_back(mapped(x, batch));
    return all;
  }());
}

struct Rules {
  std::unordered_map<int, AnyRule> by_id;

  template <class Op, class F>
  void add(F rule) {
    by_id[Op::kernel_id()] = [rule](const std::shared_ptr<const Primitive>& op, Inputs in,
                                    int batch) -> std::optional<Arrays> {
      return rule(static_cast<const Op&>(*op), in, batch);
    };
  }
  // The operation itself: it takes any axes in front.
  template <class Op>
  void add_same() {
    by_id[Op::kernel_id()] = [](const std::shared_ptr<const Primitive>& op, Inputs in,
                                int batch) -> std::optional<Arrays> {
      return apply_all(op, all_mapped(in, batch));
    };
  }

  Rules() {
    add_same<Copy>();
    add_same<Contiguous>();
    add_same<StopGradient>();
    add_same<Softmax>();
    add_same<LogSumExp>();
    add_same<RandomBits>();
    add_same<fft::Fourier>();
    add_same<linalg::LU>();
    add_same<linalg::Solve>();
    add_same<linalg::Cholesky>();
    add_same<linalg::QR>();
    add_same<linalg::SVD>();
    add_same<linalg::Eigh>();
    add_same<linalg::Eig>();
    add_same<linalg::Determinant>();
    add_same<Matmul>();
    add_movement();
    add_reductions();
    add_indexing();
  }

  void add_movement() {
    // Operands broadcast by their last axes: the batch must come before all of them.
    by_id[Map::kernel_id()] = [](const std::shared_ptr<const Primitive>& op, Inputs in,
                                 int) -> std::optional<Arrays> {
      int axes = 0;
      for (const Batched& x : in) axes = std::max(axes, axes_of_one(x));
      Arrays all;
      for (const Batched& x : in) all.push_back(with_axes_of_one(x, axes));
      return apply_all(op, all);
    };
    add<Reinterpret>([](const Reinterpret& op, Inputs in, int batch) -> std::optional<Arrays> {
      if (axes_of_one(in[0]) == 0 && size_of(op.from) != size_of(op.to)) return std::nullopt;
      return on_all(op, in, batch);
    });
    add<Reshape>([](const Reshape& op, Inputs in, int batch) {
      return on_all(Reshape(behind(batch, op.shape)), in, batch);
    });
    add<Transpose>([](const Transpose& op, Inputs in, int batch) {
      return on_all(Transpose(moved(op.axes, true)), in, batch);
    });
    add<Broadcast>([](const Broadcast& op, Inputs in, int batch) {
      const array x = with_axes_of_one(in[0], int(op.shape.size()));
      return Arrays{broadcast_to(x, behind(batch, op.shape))};
    });
    add<StaticSlice>([](const StaticSlice& op, Inputs in, int batch) {
      return on_all(StaticSlice(behind(batch, op.box)), in, batch);
    });
    add<SliceUpdate>([](const SliceUpdate& op, Inputs in, int batch) {
      return on_all(SliceUpdate(op.mode, behind(batch, op.box)), in, batch);
    });
    add<Concatenate>([](const Concatenate& op, Inputs in, int batch) {
      return on_all(Concatenate(op.axis + 1), in, batch);
    });
    add<DynamicSlice>([](const DynamicSlice& op, Inputs in, int batch) -> std::optional<Arrays> {
      if (in[1].mapped) return std::nullopt;
      return apply_all(std::make_shared<DynamicSlice>(moved(op.axes), behind(batch, op.shape)),
                       {mapped(in[0], batch), in[1].a});
    });
    add<DynamicSliceUpdate>(
        [](const DynamicSliceUpdate& op, Inputs in, int batch) -> std::optional<Arrays> {
          if (in[2].mapped) return std::nullopt;
          return apply_all(std::make_shared<DynamicSliceUpdate>(moved(op.axes)),
                           {mapped(in[0], batch), mapped(in[1], batch), in[2].a});
        });
  }

  void add_reductions() {
    add<Reduce>([](const Reduce& op, Inputs in, int batch) {
      return on_all(Reduce(op.kind, moved(op.axes), op.keepdims), in, batch);
    });
    add<ArgReduce>([](const ArgReduce& op, Inputs in, int batch) {
      return on_all(ArgReduce(op.largest, op.axis + 1, op.keepdims), in, batch);
    });
    add<Scan>([](const Scan& op, Inputs in, int batch) {
      return on_all(Scan(op.kind, op.axis + 1, op.reverse, op.inclusive), in, batch);
    });
    add<Sort>([](const Sort& op, Inputs in, int batch) {
      return on_all(Sort(op.axis + 1, op.places, op.kth), in, batch);
    });
  }

  void add_indexing() {
    add<GatherAxis>([](const GatherAxis& op, Inputs in, int batch) {
      return on_all(GatherAxis(op.axis + 1), in, batch);
    });
    add<ScatterAxis>([](const ScatterAxis& op, Inputs in, int batch) {
      return on_all(ScatterAxis(op.mode, op.axis + 1), in, batch);
    });
    add<SearchSorted>([](const SearchSorted& op, Inputs in, int) -> std::optional<Arrays> {
      if (in[0].mapped) return std::nullopt;
      return apply_all(std::make_shared<SearchSorted>(op), {in[0].a, in[1].a});
    });
    add<Gather>([](const Gather& op, Inputs in, int batch) -> std::optional<Arrays> {
      Arrays all{in[0].a};
      for (const Batched& x : in.subspan(1)) all.push_back(mapped(x, batch));
      if (in.size() == 1) return std::nullopt;
      if (!in[0].mapped) return apply_all(std::make_shared<Gather>(op), all);
      const Shape places = all[1].shape();
      all.insert(all.begin() + 1, own_places(batch, places));
      const array y =
          apply_all(std::make_shared<Gather>(moved(op.axes, true), behind(1, op.sizes)), all)[0];
      return Arrays{squeeze(y, int(places.size()))};
    });
    add<Scatter>([](const Scatter& op, Inputs in, int batch) -> std::optional<Arrays> {
      if (in.size() == 2) return std::nullopt;
      Arrays all = all_mapped(in, batch);
      const Shape places = all[2].shape();
      all[1] = expand_dims(all[1], int(places.size()));
      Arrays moved_in{all[0], all[1], own_places(batch, places)};
      moved_in.insert(moved_in.end(), all.begin() + 2, all.end());
      return apply_all(std::make_shared<Scatter>(op.mode, moved(op.axes, true)), moved_in);
    });
    add<Convolution>([](const Convolution& op, Inputs in, int batch) -> std::optional<Arrays> {
      if (in[1].mapped) return std::nullopt;
      const array y =
          apply_all(std::make_shared<Convolution>(op), {flatten(in[0].a, 0, 1), in[1].a})[0];
      Shape shape = y.shape();
      shape[0] /= std::max(1, batch);
      return Arrays{reshape(y, behind(batch, shape))};
    });
  }
};

}  // namespace

std::optional<Arrays> batch_by_rule(const std::shared_ptr<const Primitive>& op,
                                    std::span<const Batched> in, int batch) {
  static const Rules& rules = *new Rules;
  const auto found = rules.by_id.find(op->id);
  return found == rules.by_id.end() ? std::nullopt : found->second(op, in, batch);
}

Arrays batch_by_loop(const std::shared_ptr<const Primitive>& op, std::span<const Batched> in,
                     int batch, const Specs& of_one) {
  Arrays out;
  if (batch == 0) {
    for (const Spec& spec : of_one) out.push_back(zeros(behind(0, spec.shape), spec.dtype));
    return out;
  }
  std::vector<Arrays> by_output(of_one.size());
  for (int i = 0; i < batch; ++i) {
    Arrays one;
    for (const Batched& x : in) one.push_back(x.mapped ? take(x.a, i, 0) : x.a);
    const Arrays results = apply_all(op, one);
    for (size_t k = 0; k < results.size(); ++k) by_output[k].push_back(results[k]);
  }
  for (const Arrays& all : by_output) out.push_back(stack(all, 0));
  return out;
}

}  // namespace hearth::graph
