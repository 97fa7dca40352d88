// Layers: the streaming kernel for the few rows of decoding, matrix products for more.
#include "hearth/backend/cuda/gemm.h"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

namespace {

bool row_major(const array& a) { return row_contiguous(a.shape(), a.node().strides); }
int rows_of(const array& x) { return x.shape(-1) ? int(x.size() / size_t(x.shape(-1))) : 0; }

// Reads a primitive's inputs in order, by `address(array)`.
template <class Address>
LinearTask linear_task(const fast::Linear& op, std::span<const array> in, Address address) {
  LinearTask task = {};
  task.terms = 1, task.parts = int8_t(op.parts.size());
  task.x[0] = address(in[0]), task.k[0] = in[0].shape(-1);
  if (op.norm) {
    task.norm = true, task.rms = op.norm->rms, task.eps = op.norm->eps;
    if (op.norm->scaled) task.norm_weight = address(in[1]);
    if (op.norm->shifted) task.norm_bias = address(in[1 + op.norm->scaled]);
  }
  size_t next = op.first_part();
  for (int i = 0; i < task.parts; ++i) {
    LinearTask::Part& part = task.part[i];
    const array& weight = in[next++];
    part.weight[0] = address(weight), part.rows = weight.shape(0);
    part.activation = op.parts[size_t(i)].activation;
    if (op.parts[size_t(i)].bias) part.bias[0] = address(in[next++]);
  }
  if (op.residual) task.residual = address(in.back());
  return task;
}
template <class Address>
LinearTask linear_task(const fast::LinearSum& op, std::span<const array> in, Address address) {
  LinearTask task = {};
  task.terms = int8_t(op.biases.size()), task.parts = 1;
  size_t next = 0;
  for (int t = 0; t < task.terms; ++t) {
    task.x[t] = address(in[next]), task.k[t] = in[next].shape(-1);
    const array& weight = in[next + 1];
    task.part[0].weight[t] = address(weight), task.part[0].rows = weight.shape(0);
    next += 2;
    if (op.biases[size_t(t)]) task.part[0].bias[t] = address(in[next++]);
  }
  if (op.residual) task.residual = address(in.back());
  return task;
}

// Before anything has an address: what offsets say of alignment, since memory is aligned.
const void* offset_address(const array& a) {
  return reinterpret_cast<const void*>((size_t{1} << 20) + size_t(a.node().offset) * a.itemsize());
}
bool few_enough(const fast::Linear& op) { return op.parts.size() <= LinearTask::kMaxParts; }
bool few_enough(const fast::LinearSum& op) { return op.biases.size() <= LinearTask::kMaxTerms; }

template <class Op>
bool streams(const Op& op, std::span<const array> in) {
  if (!few_enough(op)) return false;
  LinearTask task = linear_task(op, in, offset_address);
  return complete(task, in[0].dtype(), rows_of(in[0]), card(0));  // which one is not known yet
}

// Adds the operation to the queue's tasks; false when they do not take it.
template <class Op>
bool stream(const Op& op, const Args& args, CudaQueue& queue) {
  if (!few_enough(op)) return false;
  const auto address = [&](const array& a) { return queue.ptr<void>(a); };
  LinearTask task = linear_task(op, args.in, address);
  for (int i = 0; i < task.parts; ++i) task.part[i].y = address(args.out[size_t(i)]);
  const Dtype dtype = args.in[0].dtype();
  const int m = rows_of(args.in[0]);
  if (!complete(task, dtype, m, queue.card())) return false;
  queue.tasks().add(queue, task, dtype, m, args);
  return true;
}

}  // namespace

// Norms and sums are the streaming kernel's; elsewhere they are taken apart.
bool linear_fits(const Primitive& op, std::span<const array> in) {
  for (const array& a : in)
    if (!row_major(a)) return false;
  if (op.id == primitive_id::LinearSum) return streams(static_cast<const fast::LinearSum&>(op), in);
  const auto& linear = static_cast<const fast::Linear&>(op);
  if (linear.has_gates()) return false;
  return !linear.norm || streams(linear, in);
}

void linear(const fast::Linear& op, const Args& args, CudaQueue& queue) {
  const auto address = [&](const array& a) { return queue.ptr<void>(a); };
  if (stream(op, args, queue)) return;
  ensure(!op.norm, "linear: a norm, and weights at an odd address");
  const array& x = args.in[0];
  const int64_t k = x.shape(-1);
  size_t next = 1;
  for (size_t i = 0; i < op.parts.size(); ++i) {
    const array &weight = args.in[next++], &y = args.out[i];
    const int64_t n = weight.shape(0);
    if (y.size() == 0) {
      next += op.parts[i].bias;
      continue;
    }
    Gemm job;
    job.dtype = x.dtype();
    job.m = int64_t(y.size()) / n, job.n = n, job.k = k;
    job.a = {address(x), k, 1, 0};
    job.b = {address(weight), 1, k, 0};
    if (op.parts[i].bias) job.bias = address(args.in[next++]);
    job.activation = op.parts[i].activation;
    if (op.residual && i == 0) job.c = {address(args.in.back()), n, 1, 0};
    job.d = address(y), job.d_row = n;
    gemm(queue, job);
  }
}

void linear_sum(const fast::LinearSum& op, const Args& args, CudaQueue& queue) {
  ensure(stream(op, args, queue), "linear_sum: weights at an odd address");
}

}  // namespace hearth::cuda
