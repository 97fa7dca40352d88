#include "hearth/core/array.h"

#include <ostream>

#include "hearth/core/backend.h"
#include "hearth/core/eval.h"

namespace hearth {

namespace {

Ref<Node> leaf(Shape shape, Dtype dtype, Ref<Storage> storage) {
  Ref<Node> node(new Node);
  node->strides = row_major(shape);
  node->shape = std::move(shape);
  node->dtype = dtype;
  node->storage = std::move(storage);
  node->status.store(Node::Status::scheduled, std::memory_order_release);
  return node;
}

}  // namespace

void destroy(Node* node) {
  // The inputs of a dying node may die with it: they form a list (by their marks, which nobody
  // else needs now) instead of recursing. Plain pointers: arrays with static lifetime die when a
  // thread's objects are gone.
  thread_local Node* dying = nullptr;
  thread_local bool draining = false;
  node->mark = reinterpret_cast<uintptr_t>(dying);
  dying = node;
  if (draining) return;
  draining = true;
  while (dying) {
    Node* last = dying;
    dying = reinterpret_cast<Node*>(last->mark);
    delete last;
  }
  draining = false;
}

void* array::fill(const Shape& shape, Dtype dtype) {
  Ref<Storage> storage(new Storage);
  storage->settle(host_memory().allocate(element_count(shape) * size_of(dtype)), host_memory());
  void* data = storage->buffer.data;
  node_ = leaf(shape, dtype, std::move(storage));
  return data;
}

array uninitialized(const Shape& shape, Dtype dtype) {
  array a;
  a.fill(shape, dtype);
  return a;
}

array::array(std::initializer_list<float> values)
    : array(values.begin(), Shape{int(values.size())}, float32) {}
array::array(std::initializer_list<int> values, Dtype dtype)
    : array(values.begin(), Shape{int(values.size())}, dtype) {}

array::array(void* data, Shape shape, Dtype dtype, Deleter deleter) {
  const size_t bytes = element_count(shape) * size_of(dtype);
  Ref<Storage> storage(new Storage);
  storage->buffer = {data, bytes};
  storage->host = static_cast<std::byte*>(data);
  storage->deleter = std::move(deleter);
  node_ = leaf(std::move(shape), dtype, std::move(storage));
}

const Shape& array::shape() const { return node_->shape; }
int array::shape(int axis) const { return node_->shape[normalize_axis(axis, ndim(), "shape")]; }
Dtype array::dtype() const { return node_->dtype; }
size_t array::size() const {
  size_t n = 1;
  for (auto d : node_->shape) n *= size_t(d);
  return n;
}
const Strides& array::strides() const {
  eval();
  return node_->strides;
}

void array::eval() const { hearth::eval(std::span(this, 1)); }
bool array::is_available() const {
  if (node_->status.load(std::memory_order_acquire) != Node::Status::scheduled) return false;
  return !node_->event || node_->event->queue->done(*node_->event);
}
const std::byte* array::host_bytes() const {
  eval();
  node_->storage->on(host_memory());
  return node_->data();
}

void array::each(const std::function<void(const void*)>& f) const {
  host_bytes();
  const Node& n = *node_;
  if (size() == 0) return;
  const size_t item = size_of(n.dtype);
  SmallVector<int, 6> at(n.shape.size(), 0);
  const std::byte* p = n.data();
  while (true) {
    f(p);
    int axis = ndim() - 1;
    for (; axis >= 0; --axis) {
      p += n.strides[axis] * int64_t(item);
      if (++at[axis] < n.shape[axis]) break;
      p -= n.strides[axis] * int64_t(item) * n.shape[axis];
      at[axis] = 0;
    }
    if (axis < 0) return;
  }
}

Arrays outputs_of(const array& first) {
  Arrays out{first};
  const Node& f = first.node();
  for (size_t i = 0; i < f.more.size(); ++i) {
    Ref<Node> node(new Node);
    node->shape = f.more[i].shape();
    node->dtype = f.more[i].dtype();
    node->stream = f.stream;
    node->output = int(i) + 1;
    node->inputs.push_back(first);
    node->more.push_back(f.more[i]);
    node->tracer = f.tracer;
    out.push_back(array(std::move(node)));
  }
  return out;
}

Arrays apply_all(std::shared_ptr<const Primitive> op, Arrays in) {
  return outputs_of(apply(std::move(op), SmallVector<array, 3>(in.begin(), in.end())));
}

array apply(std::shared_ptr<const Primitive> op, SmallVector<array, 3> in) {
  Specs specs = op->infer(in);
  Ref<Node> node(new Node);
  node->shape = std::move(specs[0].shape);
  node->dtype = specs[0].dtype;
  node->stream = ambient_stream();
  for (size_t i = 1; i < specs.size(); ++i) {
    Ref<Node> more(new Node);
    more->shape = std::move(specs[i].shape);
    more->dtype = specs[i].dtype;
    more->stream = node->stream;
    node->more.push_back(array(std::move(more)));
  }
  for (const array& x : in) node->tracer = node->tracer || x.node().tracer;
  node->op = std::move(op);
  node->inputs = std::move(in);
  return array(std::move(node));
}

}  // namespace hearth
