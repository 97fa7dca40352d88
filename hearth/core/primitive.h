// What an operation means. How it runs is the business of a backend.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <typeinfo>

#include "hearth/base/values.h"
#include "hearth/core/array.h"

namespace hearth {

struct Spec {
  Shape shape;
  Dtype dtype;
};
using Specs = SmallVector<Spec, 1>;
/// One per input; empty where the input has no gradient (an index, say).
using Cotangents = std::vector<std::optional<array>>;

/// A primitive holds parameters only; it is shared and never changes.
class Primitive {
 public:
  /// `id`: its place in the list of primitives (ops/op.h), by which kernels are found; -1:
  /// it has none.
  explicit Primitive(int id) : id(id) {}
  virtual ~Primitive() = default;

  virtual std::string_view name() const = 0;
  /// The shapes and dtypes of the outputs: the only check of the inputs.
  virtual Specs infer(std::span<const array> in) const = 0;
  /// How the output lies in the input's storage, for ops that move nothing; `from` is the input's
  /// view. Empty: a kernel must copy.
  virtual std::optional<View> view(const View& from) const { return (void)from, std::nullopt; }
  /// The same result from simpler ops, or nothing. Runs on the stream of the op it replaces.
  virtual std::optional<Arrays> decompose(const Arrays& in) const { return (void)in, std::nullopt; }
  /// Gradients of the inputs, given those of the outputs (`d`, one per output). Absent: the
  /// gradient of decompose.
  virtual std::optional<Cotangents> vjp(const Arrays& in, const Arrays& out,
                                        const Arrays& d) const {
    return (void)in, (void)out, (void)d, std::nullopt;
  }
  /// Are they of one type, with the same parameters? Then they compute the same.
  virtual bool same_as(const Primitive& other) const = 0;
  bool is_equivalent(const Primitive& other) const { return same_as(other); }  // MLX's name
  virtual uint64_t hash() const = 0;
  /// "axis=1, keepdims=true"
  virtual std::string parameters() const = 0;
  /// May an output take the storage of a dead input of the same byte size?
  virtual bool donates() const { return false; }
  /// And of this one? No, if the kernel still reads it after it began to write.
  virtual bool donates_input(int input) const { return (void)input, true; }
  /// The input that output `i` is written into, in place: state such as a KV cache. -1: none.
  virtual int writes_into(int output) const { return (void)output, -1; }

  const int id;
};

/// Primitives derive from this one (by Op or OwnOp, ops/op.h): what HEARTH_FIELDS lists is
/// what they are compared by.
template <class Self>
struct PrimitiveWithFields : Primitive {
  using Primitive::Primitive;
  bool same_as(const Primitive& other) const override {
    return other.id == id && same(self(), static_cast<const Self&>(other));
  }
  uint64_t hash() const override { return hash_of(self(), typeid(Self).hash_code()); }
  std::string parameters() const override { return fields_text(self()); }

 private:
  const Self& self() const {
    static_assert(HasFields<Self>,
                  "a primitive lists its parameters: HEARTH_FIELDS(axis, keepdims)");
    return static_cast<const Self&>(*this);
  }
};

/// A node with several outputs gives one array each.
Arrays apply_all(std::shared_ptr<const Primitive> op, Arrays in);
/// All outputs of the operation whose first output this is.
Arrays outputs_of(const array& first);
/// The only way a node is born: on the ambient stream, with the first output's handle.
array apply(std::shared_ptr<const Primitive> op, SmallVector<array, 3> in);

/// While it lives, what this thread evaluates keeps its edges if a transform follows it
/// (Node::tracer).
class TracingScope {
 public:
  TracingScope() { ++depth_; }
  ~TracingScope() { --depth_; }
  TracingScope(const TracingScope&) = delete;
  TracingScope& operator=(const TracingScope&) = delete;
  static bool active() { return depth_ > 0; }

 private:
  static thread_local int depth_;
};

/// A node of the graph. Built once; `schedule` (core/eval.cpp) moves it on.
struct Node : RefCounted {
  enum class Status : uint8_t { lazy, scheduled };
  // Fixed at birth:
  Shape shape;
  Dtype dtype = float32;
  Stream stream{0, Device::cpu};
  // The edge to what computes it; dropped when scheduled, kept for tracers while tracing:
  std::shared_ptr<const Primitive> op;
  SmallVector<array, 3> inputs;
  std::vector<array> more;  // outputs 1, 2, ... of a primitive with several
  int output = 0;           // i > 0: no op; this is output i of the node inputs[0]
  bool tracer = false;      // a transform is following it
  // Written by schedule, then fixed; read after seeing `scheduled`:
  std::atomic<Status> status{Status::lazy};
  Strides strides;
  int64_t offset = 0;
  Ref<Storage> storage;
  Ref<struct EventState> event;  // null: there already
  // Owned by the scheduler:
  uint64_t mark = 0;
  std::atomic<int32_t> readers{0};  // handles to it that work not yet run holds

  View view() const { return {shape, strides, offset}; }
  /// The first element, for the host, which must have the bytes.
  std::byte* data() const {
    return storage->host.load(std::memory_order_relaxed) + offset * int64_t(size_of(dtype));
  }
};

}  // namespace hearth
