// Layers: the streaming kernel for the few rows of decoding, matrix products for more.
#include <algorithm>
#include <functional>

#include "hearth/backend/cuda/experts.h"
#include "hearth/backend/cuda/gemm.h"
#include "hearth/backend/cuda/tasks.h"

namespace hearth::cuda {

namespace {

bool row_major(const array& a) { return row_contiguous(a.shape(), a.node().strides); }
int rows_of(const array& x) { return x.shape(-1) ? int(x.size() / size_t(x.shape(-1))) : 0; }

/// Where arrays are, while tasks are made: on the device, or, before anything has an address, what
/// offsets say of alignment, since memory is aligned.
using Address = std::function<void*(const array&)>;
void* offset_address(const array& a) {
  return reinterpret_cast<void*>((size_t{1} << 20) + size_t(a.node().offset) * a.itemsize());
}

using LinearTasks = std::vector<LinearTask>;

// Weight `number` of a task, and its bias; its first plane.
const array& set_weight(LinearTask& task, int number, fast::Operands& operands, Packing packing,
                        bool has_bias, const Address& address) {
  const std::span<const array> planes = operands.weight(packing);
  LinearTask::Weight& weight = task.weights[number];
  for (size_t i = 0; i < planes.size(); ++i) weight.planes[i] = address(planes[i]);
  if (const array* bias = operands.bias(has_bias)) weight.bias = address(*bias);
  task.part[number].packing = packing;
  task.part[number].scales = planes[std::min<size_t>(1, planes.size() - 1)].dtype();
  return planes[0];
}

// The tasks of parts, whose weights and biases begin at in[next]: pairs with a gate have tasks of
// their own and come first, since attention reads what the last one gives.
LinearTasks tasks_of(const LinearTask& common, std::span<const fast::Linear::Part> parts,
                     std::span<const array> in, size_t next, std::span<const array> out,
                     const Address& address, int rows_at, size_t most_parts) {
  LinearTasks gated, all;
  fast::Operands operands(in, next);
  const auto add_term = [&](LinearTask& task, int part, int term, const fast::Linear::Part& p) {
    task.part[part].rows =
        set_weight(task, part + term, operands, p.packing, p.bias, address).shape(rows_at);
  };
  size_t y = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool gates = parts[i].gates;
    const bool opens = all.empty() || size_t(all.back().parts) == most_parts;
    if (gates || opens) (gates ? gated : all).push_back(common);
    LinearTask& task = gates ? gated.back() : all.back();
    const int part = task.parts++;
    task.terms = 1;
    task.part[part].activation = parts[i].activation;
    add_term(task, part, 0, parts[i]);
    if (gates) {
      task.gated = true, task.terms = 2, task.k[1] = task.k[0];
      add_term(task, part, 1, parts[++i]);
    }
    if (!out.empty()) task.part[part].y = address(out[y++]);
  }
  gated.insert(gated.end(), all.begin(), all.end());
  return gated;
}

// The tasks of a primitive; empty where there are none for it.
LinearTasks tasks_of(const fast::Linear& op, std::span<const array> in, std::span<const array> out,
                     const Address& address) {
  LinearTask task = {};
  task.x[0] = address(in[0]), task.k[0] = in[0].shape(-1);
  if (op.norm) {
    task.norm = true, task.rms = op.norm->rms, task.eps = op.norm->eps;
    if (op.norm->scaled) task.norm_weight = address(in[1]);
    if (op.norm->shifted) task.norm_bias = address(in[1 + op.norm->scaled]);
  }
  LinearTasks all =
      tasks_of(task, op.parts, in, op.first_part(), out, address, 0, LinearTask::kMaxParts);
  if (op.residual) all[0].residual = address(in.back());
  return all;
}
LinearTasks tasks_of(const fast::LinearSum& op, std::span<const array> in,
                     std::span<const array> out, const Address& address) {
  if (op.terms.size() > LinearTask::kMaxTerms) return {};
  LinearTask task = {};
  task.terms = int8_t(op.terms.size()), task.parts = 1;
  fast::Operands operands(in, 0);
  for (int t = 0; t < task.terms; ++t) {
    const array& x = operands.take();
    const fast::LinearSum::Term& term = op.terms[size_t(t)];
    task.x[t] = address(x), task.k[t] = x.shape(-1);
    task.part[0].rows = set_weight(task, t, operands, term.packing, term.bias, address).shape(0);
  }
  if (op.residual) task.residual = address(in.back());
  if (!out.empty()) task.part[0].y = address(out[0]);
  return {task};
}

// What lies between the rows of an array, all axes but the last taken as one; none if it differs.
std::optional<int64_t> stride_of_rows(const array& a) {
  const Strides& strides = a.node().strides;
  int64_t stride = -1, rows = 1;
  for (int i = a.ndim() - 2; i >= 0; --i) {
    if (a.shape(i) == 1) continue;
    if (stride < 0) stride = strides[size_t(i)];
    if (strides[size_t(i)] != stride * rows) return {};
    rows *= a.shape(i);
  }
  return stride < 0 ? a.shape(-1) : stride;
}

constexpr size_t kMostStreamed = 64;  // choices: beyond, experts are chosen again and again

/// The choices of an operation, without addresses; none where tiles do not take them.
std::optional<ExpertChoices> choices_of(const fast::ExpertLinear& op, std::span<const array> in) {
  const array &x = in[0], &ids = in[1];
  const auto stride = stride_of_rows(x);
  const int64_t k = x.shape(-1), experts = in[2].shape(0);
  const auto at_16_bytes = [](const array& a) {
    return a.node().offset * int64_t(a.itemsize()) % 16 == 0;
  };
  const bool half = x.dtype() == float16 || x.dtype() == bfloat16;
  if (!half || has_gates(op.parts) || !stride || *stride < k || *stride % 8 != 0 || k % 8 != 0 ||
      x.size() == 0 || experts > ExpertChoices::kMostExperts ||
      ids.size() > ExpertChoices::kMostChoices || x.node().strides.back() != 1 || !at_16_bytes(x))
    return {};
  size_t next = 2;
  for (const fast::Linear::Part& part : op.parts) {
    if (!at_16_bytes(in[next])) return {};
    next += 1 + part.bias;
  }
  ExpertChoices choices = {};
  choices.dtype = x.dtype(), choices.x_stride = *stride;
  choices.count = int(ids.size()), choices.per_x = int(int64_t(ids.size()) * k / int64_t(x.size()));
  choices.experts = int(experts), choices.k = int(k);
  return choices;
}

// One row of y for each choice of an expert.
LinearTasks tasks_of(const fast::ExpertLinear& op, std::span<const array> in,
                     std::span<const array> out, const Address& address) {
  const array &x = in[0], &ids = in[1];
  const auto stride = stride_of_rows(x);
  const int64_t choices = int64_t(ids.size()), k = x.shape(-1);
  if (!stride || *stride < k || *stride > INT32_MAX || x.size() == 0 || choices > 1024 ||
      (size_t(choices) > kMostStreamed && (has_packed(op.parts) || choices_of(op, in))) ||
      (k > 1 && x.node().strides.back() != 1))
    return {};
  LinearTask task = {};
  task.x[0] = address(x), task.k[0] = int(k);
  task.ids = static_cast<const int*>(address(ids)), task.experts = in[2].shape(0);
  task.x_rows = int(int64_t(x.size()) / k), task.x_stride = int(*stride);
  task.per_x = int(choices) / task.x_rows;
  LinearTasks all = tasks_of(task, op.parts, in, 2, out, address, 1, 1);
  for (LinearTask& l : all) {
    l.each = l.part[0].rows;
    if (choices * l.each > INT32_MAX) return {};
    l.part[0].rows *= int(choices);
  }
  return all;
}

int rows_of_tasks(const fast::Linear&, std::span<const array> in) { return rows_of(in[0]); }
int rows_of_tasks(const fast::LinearSum&, std::span<const array> in) { return rows_of(in[0]); }
int rows_of_tasks(const fast::ExpertLinear&, std::span<const array>) { return 1; }

// Makes them whole; false when they are none, or one is not for the streaming kernel.
bool complete(LinearTasks& all, Dtype dtype, int m, const Card& card) {
  return !all.empty() &&
         std::ranges::all_of(all, [&](LinearTask& task) { return complete(task, dtype, m, card); });
}

template <class Op>
bool streams(const Op& op, std::span<const array> in) {
  LinearTasks all = tasks_of(op, in, {}, offset_address);
  return complete(all, in[0].dtype(), rows_of_tasks(op, in), card(0));  // which one is not known
}

// Adds the operation to the queue's tasks; false when they do not take it.
template <class Op>
bool stream(const Op& op, const Args& args, CudaQueue& queue) {
  const Dtype dtype = args.in[0].dtype();
  const int m = rows_of_tasks(op, args.in);
  LinearTasks all =
      tasks_of(op, args.in, args.out, [&](const array& a) { return queue.ptr<void>(a); });
  if (!complete(all, dtype, m, queue.card())) return false;
  for (const LinearTask& task : all) queue.tasks().add(queue, task, dtype, m, args);
  return true;
}

}  // namespace

// Norms, gates, sums and packed weights are the streaming kernel's. Elsewhere they are taken apart,
// and packed weights dequantised first.
bool linear_fits(const Primitive& op, std::span<const array> in) {
  for (const array& a : in)
    if (!row_major(a)) return false;
  if (op.id == primitive_id::LinearSum) {
    return streams(static_cast<const fast::LinearSum&>(op), in);
  }
  const auto& linear = static_cast<const fast::Linear&>(op);
  const bool plain = !linear.norm && !has_gates(linear.parts) && !has_packed(linear.parts);
  return plain || streams(linear, in);
}

void linear(const fast::Linear& op, const Args& args, CudaQueue& queue) {
  const auto address = [&](const array& a) { return queue.ptr<void>(a); };
  if (stream(op, args, queue)) return;
  ensure(!op.norm && !has_gates(op.parts) && !has_packed(op.parts),
         "linear: a norm, a gate or packed weights, and weights at an odd address");
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

bool expert_linears_fit(const Primitive& op, std::span<const array> in) {
  for (const array& a : in.subspan(1))
    if (!row_major(a)) return false;
  const auto& experts = static_cast<const fast::ExpertLinear&>(op);
  return streams(experts, in) || (!has_packed(experts.parts) && choices_of(experts, in));
}

void expert_linears(const fast::ExpertLinear& op, const Args& args, CudaQueue& queue) {
  if (stream(op, args, queue)) return;
  auto choices = choices_of(op, args.in);
  ensure(choices.has_value(), "expert_linears: weights at an odd address");
  choices->x = queue.ptr<void>(args.in[0]), choices->ids = queue.ptr<int>(args.in[1]);
  std::vector<ExpertProduct> products;
  size_t next = 2;
  for (size_t i = 0; i < op.parts.size(); ++i) {
    const array& weight = args.in[next++];
    const void* bias = op.parts[i].bias ? queue.ptr<void>(args.in[next++]) : nullptr;
    products.push_back({queue.ptr<void>(weight), bias, queue.ptr<void>(args.out[i]),
                        weight.shape(1), op.parts[i].activation});
  }
  expert_products(queue, *choices, products);
}

void linear_sum(const fast::LinearSum& op, const Args& args, CudaQueue& queue) {
  ensure(stream(op, args, queue), "linear_sum: weights at an odd address");
}

}  // namespace hearth::cuda
