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

array::array(std::initializer_list<detail::Number> values, Dtype dtype) {
  auto* p = static_cast<std::byte*>(fill({int(values.size())}, dtype));
  for (const detail::Number& number : values) {
    store_element(p, dtype, number.value);
    p += size_of(dtype);
  }
}

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

int64_t array::strides(int axis) const {
  return strides()[normalize_axis(axis, ndim(), "strides")];
}
array::Flags array::flags() const {
  strides();
  if (size() == 0) return {true, true, true};
  const Node& n = *node_;
  const Shape turned(n.shape.rbegin(), n.shape.rend());
  size_t different = 1;  // elements of memory
  for (size_t i = 0; i < n.shape.size(); ++i)
    if (n.strides[i] != 0 || n.shape[i] == 0) different *= size_t(n.shape[i]);
  Flags flags{different == data_size(), row_contiguous(n.shape, n.strides),
              row_contiguous(turned, {n.strides.rbegin(), n.strides.rend()})};
  flags.contiguous = flags.contiguous || flags.row_contiguous || flags.col_contiguous;
  return flags;
}
size_t array::data_size() const {
  strides();
  const Node& n = *node_;
  int64_t last = 0;
  for (size_t i = 0; i < n.shape.size(); ++i) last += (n.shape[i] - 1) * std::abs(n.strides[i]);
  return size() == 0 ? 0 : size_t(last) + 1;
}

size_t array::buffer_size() const {
  eval();
  return node_->storage->buffer.size;
}

void array::eval() const { hearth::eval(std::span(this, 1)); }
array::Status array::status() const {
  if (node_->status.load(std::memory_order_acquire) != Node::Status::scheduled)
    return Status::unscheduled;
  return is_available() ? Status::available : Status::evaluated;
}
void array::wait() const {
  if (status() == Status::evaluated) eval();
}
void array::detach() {
  eval();
  Ref<Node> alone(new Node);
  alone->shape = node_->shape, alone->dtype = node_->dtype, alone->stream = node_->stream;
  alone->strides = node_->strides, alone->offset = node_->offset;
  alone->storage = node_->storage, alone->event = node_->event;
  alone->status.store(Node::Status::scheduled, std::memory_order_release);
  node_ = std::move(alone);
}
bool array::has_primitive() const { return node_->op != nullptr || node_->output > 0; }
const Primitive& array::primitive() const {
  check(has_primitive(), "primitive: the array was not computed by one, or is computed");
  return *primitive_ptr();
}
const std::shared_ptr<const Primitive>& array::primitive_ptr() const {
  return node_->output > 0 ? node_->inputs[0].node().op : node_->op;
}
std::vector<array> array::siblings() const {
  std::vector<array> all = outputs_of(node_->output > 0 ? node_->inputs[0] : *this);
  all.erase(all.begin() + node_->output);
  return all;
}
bool array::is_tracer() const { return node_->tracer && TracingScope::active(); }
void array::set_tracer(bool follows) { node_->tracer = follows; }
std::vector<array> array::inputs() const {
  const Node& n = node_->output > 0 ? node_->inputs[0].node() : *node_;
  return {n.inputs.begin(), n.inputs.end()};
}
ArrayIterator array::begin() const {
  check(ndim() > 0, "begin: an array without axes cannot be walked over");
  return {*this, 0};
}
ArrayIterator array::end() const { return {*this, ndim() > 0 ? shape(0) : 0}; }
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

// Every size that is asked for later fits then: array::size multiplies without looking.
static void check_size(const Primitive& op, const Shape& shape) {
  constexpr double kMost = double(size_t{1} << 48);
  double n = 1;
  for (auto d : shape) n *= d;
  check<std::overflow_error>(n <= kMost, op.name(), ": the result has shape ", shape,
                             ", more than 2^48 elements");
}

array apply(std::shared_ptr<const Primitive> op, SmallVector<array, 3> in) {
  Specs specs = op->infer(in);
  for (const Spec& spec : specs) check_size(*op, spec.shape);
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
