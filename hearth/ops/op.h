// The one list of primitives, and what each derives from.
#pragma once
#include "hearth/core/primitive.h"

namespace hearth {

// A primitive's place in this list is its id, by which backends find their kernels.
// clang-format off
#define HEARTH_PRIMITIVES(X) \
  X(Copy) X(Assign) \
  X(Map) X(StopGradient) \
  X(Matmul) X(LayerNorm) X(RMSNorm) X(RoPE) X(Attention) X(CachedAttention) X(Linear) X(LinearSum) X(Convolution) X(ConvolutionWeight) \
  X(Quantize) X(Dequantize) \
  X(ExpertLinear) X(CausalConv) X(GatedDelta) \
  X(Reduce) X(ArgReduce) X(Scan) X(Sort) X(Softmax) X(LogSumExp) \
  X(Contiguous) X(Reshape) X(Transpose) X(Broadcast) X(StaticSlice) X(AsStrided) X(Reinterpret) \
  X(Concatenate) X(SliceUpdate) X(DynamicSlice) X(DynamicSliceUpdate) X(Arange) \
  X(Gather) X(Scatter) X(GatherAxis) X(ScatterAxis) X(MaskedScatter) X(SearchSorted) X(RandomBits)
// clang-format on

namespace primitive_id {
enum : int {
#define X(name) name,
  HEARTH_PRIMITIVES(X)
#undef X
      count
};
}  // namespace primitive_id

/// Opens a primitive of the list: `struct Copy : Op<Copy, primitive_id::Copy> { ... };`
template <class Self, int Id>
struct Op : PrimitiveWithFields<Self> {
  static int kernel_id() { return Id; }
  Op() : PrimitiveWithFields<Self>(Id) {}
};

/// The next id after those of the list.
int new_primitive_id();

/// Opens a primitive that is not in the list, anywhere: `struct Mine : OwnOp<Mine> { ... };` Its id
/// is given when it is first asked for. See examples/own_op.cpp.
template <class Self>
struct OwnOp : PrimitiveWithFields<Self> {
  static int kernel_id() {
    static const int id = new_primitive_id();
    return id;
  }
  OwnOp() : PrimitiveWithFields<Self>(kernel_id()) {}
};

}  // namespace hearth
