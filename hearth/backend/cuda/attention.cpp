// Attention on arrays: reads strides, calls flash_attention.
#include "hearth/backend/cuda/flash.h"

namespace hearth::cuda {

// float64 is taken apart.
bool attention_fits(const Primitive&, std::span<const array> in) {
  return in[0].dtype() != float64 && in[2].shape(3) <= 512;
}

void attention(const fast::Attention& op, const Args& args, CudaQueue& queue) {
  const array &q = args.in[0], &k = args.in[1], &v = args.in[2], &y = args.out[0];
  if (y.size() == 0) return;
  const auto heads = [&](const array& a) {
    const Strides& s = a.node().strides;
    return FlashJob::Heads{queue.ptr<void>(a), s[0], s[1], s[2], s[3]};
  };
  FlashJob job{.dtype = q.dtype(),
               .B = q.shape(0),
               .H = q.shape(1),
               .Hkv = k.shape(1),
               .L = q.shape(2),
               .D = q.shape(3),
               .Dv = v.shape(3),
               .q = heads(q),
               .k = heads(k),
               .v = heads(v),
               .y = heads(y),
               .scale = op.scale,
               .keys = k.shape(2),
               .causal = op.causal,
               .offset = k.shape(2) - q.shape(2),
               .mask = {}};
  if (op.masked) {
    job.mask = heads(args.in[3]);
    job.mask_dtype = args.in[3].dtype();
  }
  if (op.has_sinks) {
    const array& sinks = args.in[3 + op.masked];
    job.sinks = queue.ptr<void>(sinks);
    job.sinks_dtype = sinks.dtype();
    job.sinks_stride = sinks.node().strides[0];
  }
  flash_attention(queue, job);
}

}  // namespace hearth::cuda
