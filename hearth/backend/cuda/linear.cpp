// Layers: the streaming kernel for the few rows of decoding, matrix products for more.
#include "hearth/backend/cuda/gemm.h"
#include "hearth/backend/cuda/stream_linear.h"

namespace hearth::cuda {

namespace {

bool row_major(const array& a) { return row_contiguous(a.shape(), a.node().strides); }
int rows_of(const array& x) { return x.shape(-1) ? int(x.size() / size_t(x.shape(-1))) : 0; }

// May the weight be read before the kernels on their way are done? Yes, if none of them writes it.
bool constant(const array& weight) {
  const Event& e = weight.node().event;
  return !e || e->done.load(std::memory_order_acquire);
}

// Reads a primitive's inputs in order, by `address(array)`.
template <class Address>
StreamLinear stream_job(const fast::Linear& op, std::span<const array> in, Address address) {
  StreamLinear job;
  job.dtype = in[0].dtype(), job.m = rows_of(in[0]);
  job.x[0] = address(in[0]), job.k[0] = in[0].shape(-1);
  if (op.norm) {
    job.norm = true, job.rms = op.norm->rms, job.eps = op.norm->eps;
    if (op.norm->scaled) job.norm_weight = address(in[1]);
    if (op.norm->shifted) job.norm_bias = address(in[1 + op.norm->scaled]);
  }
  job.parts = int(op.parts.size());
  job.constant_weights = true;
  size_t next = op.first_part();
  for (int i = 0; i < job.parts; ++i) {
    StreamLinear::Part& part = job.part[i];
    const array& weight = in[next++];
    job.constant_weights = job.constant_weights && constant(weight);
    part.weight[0] = address(weight), part.rows = weight.shape(0);
    part.activation = op.parts[size_t(i)].activation;
    if (op.parts[size_t(i)].bias) part.bias[0] = address(in[next++]);
  }
  if (op.residual) job.residual = address(in.back());
  return job;
}
template <class Address>
StreamLinear stream_job(const fast::LinearSum& op, std::span<const array> in, Address address) {
  StreamLinear job;
  job.dtype = in[0].dtype(), job.m = rows_of(in[0]);
  job.terms = int(op.biases.size());
  job.constant_weights = true;
  size_t next = 0;
  for (int t = 0; t < job.terms; ++t) {
    job.x[t] = address(in[next]), job.k[t] = in[next].shape(-1);
    const array& weight = in[next + 1];
    job.constant_weights = job.constant_weights && constant(weight);
    job.part[0].weight[t] = address(weight), job.part[0].rows = weight.shape(0);
    next += 2;
    if (op.biases[size_t(t)]) job.part[0].bias[t] = address(in[next++]);
  }
  if (op.residual) job.residual = address(in.back());
  return job;
}

// Before anything has an address: what offsets say of alignment, since memory is aligned.
const void* offset_address(const array& a) {
  return reinterpret_cast<const void*>((size_t{1} << 20) + size_t(a.node().offset) * a.itemsize());
}
bool streams(const Primitive& op, std::span<const array> in) {
  const Card& c = card(0);
  if (op.id == primitive_id::Linear) {
    const auto& linear = static_cast<const fast::Linear&>(op);
    return linear.parts.size() <= StreamLinear::kMaxParts &&
           stream_fits(stream_job(linear, in, offset_address), c);
  }
  const auto& sum = static_cast<const fast::LinearSum&>(op);
  return sum.biases.size() <= StreamLinear::kMaxTerms &&
         stream_fits(stream_job(sum, in, offset_address), c);
}

}  // namespace

// Norms and sums are the streaming kernel's; elsewhere they are taken apart.
bool linear_fits(const Primitive& op, std::span<const array> in) {
  for (const array& a : in)
    if (!row_major(a)) return false;
  if (op.id == primitive_id::Linear && !static_cast<const fast::Linear&>(op).norm) return true;
  return streams(op, in);
}

void linear(const fast::Linear& op, const Args& args, CudaQueue& queue) {
  const auto address = [&](const array& a) { return queue.ptr<void>(a); };
  if (streams(op, args.in)) {
    StreamLinear job = stream_job(op, args.in, address);
    for (int i = 0; i < job.parts; ++i) job.part[i].y = address(args.out[size_t(i)]);
    if (stream_fits(job, queue.card())) return stream_linear(job, queue);
  }
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
  const auto address = [&](const array& a) { return queue.ptr<void>(a); };
  StreamLinear job = stream_job(op, args.in, address);
  job.part[0].y = address(args.out[0]);
  ensure(stream_fits(job, queue.card()), "linear_sum: weights at an odd address");
  stream_linear(job, queue);
}

}  // namespace hearth::cuda
