// Matmul on arrays: reads strides, calls gemm.
#include "hearth/backend/cuda/gemm.h"

namespace hearth::cuda {

void matmul(const hearth::Matmul& op, const Args& args, CudaQueue& queue) {
  const array &a = args.in[0], &b = args.in[1], &out = args.out[0];
  if (out.size() == 0) return;
  const int axes = a.ndim();
  const auto matrix = [&](const array& x) {
    const Strides& s = x.node().strides;
    return Gemm::Matrix{queue.ptr<const std::byte>(x), s[axes - 2], s[axes - 1]};
  };
  Gemm job{.dtype = a.dtype(),
           .m = a.shape(-2),
           .n = b.shape(-1),
           .k = a.shape(-1),
           .a = matrix(a),
           .b = matrix(b),
           .d = queue.ptr<void>(out),
           .d_row = b.shape(-1)};
  const array& c = op.add ? args.in[2] : out;
  if (op.add) job.c = matrix(c);
  Shape batch(a.shape().begin(), a.shape().end() - 2);
  const auto outer = [&](const array& x) {
    const Strides& s = x.node().strides;
    return Strides(s.begin(), s.end() - 2);
  };
  Strides strides[] = {outer(a), outer(b), outer(c), outer(out)};
  collapse(batch, strides);
  if (batch.size() == 1 && strides[1][0] == 0 && strides[0][0] == job.m * job.a.row &&
      (!op.add || strides[2][0] == job.m * job.c.row)) {
    job.m *= batch[0];  // one b for all: a taller a
    batch.clear();
  }
  if (batch.empty()) return gemm(queue, job);
  // The longest axis is one call; the rest are walked.
  size_t longest = 0;
  for (size_t i = 1; i < batch.size(); ++i)
    if (batch[i] > batch[longest]) longest = i;
  job.batch = batch[longest];
  job.a.batch = strides[0][longest], job.b.batch = strides[1][longest];
  job.c.batch = strides[2][longest], job.d_batch = strides[3][longest];
  const int64_t calls = int64_t(element_count(batch)) / job.batch, item = int64_t(a.itemsize());
  for (int64_t i = 0; i < calls; ++i) {
    int64_t at[4] = {}, rest = i;
    for (size_t axis = batch.size(); axis-- > 0;) {
      if (axis == longest) continue;
      for (int x = 0; x < 4; ++x) at[x] += rest % batch[axis] * strides[x][axis];
      rest /= batch[axis];
    }
    const auto moved = [&](const void* p, int64_t by) {
      return p ? static_cast<const std::byte*>(p) + by * item : nullptr;
    };
    Gemm one = job;
    one.a.data = moved(job.a.data, at[0]);
    one.b.data = moved(job.b.data, at[1]);
    one.c.data = moved(job.c.data, at[2]);
    one.d = static_cast<std::byte*>(job.d) + at[3] * item;
    gemm(queue, one);
  }
}

}  // namespace hearth::cuda
