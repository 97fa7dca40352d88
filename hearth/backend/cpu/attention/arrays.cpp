// Rotary embedding and attention on arrays: reads strides and offsets, calls the raw kernels.
#include <algorithm>

#include "hearth/backend/cpu/attention/attention.h"
#include "hearth/backend/cpu/cpu.h"
#include "hearth/backend/cpu/rows.h"
#include "hearth/backend/pool.h"
#include "hearth/ops/state_packing.h"

namespace hearth::cpu {
namespace {

int64_t item(const array& a) { return int64_t(a.itemsize()); }

// An array whose last axis is contiguous; copied if it is not.
struct LastAxisContiguous {
  std::byte* data;
  Strides strides;  // bytes
  std::unique_ptr<std::byte[]> copy;

  explicit LastAxisContiguous(const array& a) : data(a.node().data()), strides(a.node().strides) {
    if (a.shape(-1) > 1 && strides.back() != 1 && a.size() > 0) {
      copy.reset(new std::byte[a.nbytes()]);
      gather(a.node().view(), data, a.itemsize(), copy.get());
      data = copy.get();
      strides = row_major(a.shape());
    }
    for (int64_t& s : strides) s *= item(a);
  }
  /// The places of these among the axes.
  Heads heads(int batch, int head, int position) const {
    return {data, strides[batch], strides[head], strides[position]};
  }
};

std::vector<int64_t> integers(const array& a) {
  std::vector<int64_t> out;
  out.reserve(a.size());
  const int64_t stride = a.ndim() == 0 ? 0 : a.node().strides[0] * item(a);
  for (size_t i = 0; i < a.size(); ++i)
    out.push_back(load_element<int64_t>(a.node().data() + int64_t(i) * stride, a.dtype()));
  return out;
}
// In row-major order.
std::vector<float> floats(const array& a) {
  std::vector<float> out;
  out.reserve(a.size());
  const int rows = a.ndim() == 2 ? a.shape(0) : 1, columns = a.shape(-1);
  const Strides& strides = a.node().strides;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) {
      const int64_t at = (a.ndim() == 2 ? r * strides[0] : 0) + c * strides.back();
      out.push_back(load_element<float>(a.node().data() + at * item(a), a.dtype()));
    }
  return out;
}
Angles angles_of(const fast::Rotation& rotation, const array* freqs,
                 std::span<const int64_t> offsets, int64_t length) {
  return Angles(rotation, freqs ? floats(*freqs) : std::vector<float>(), offsets, length);
}

constexpr int64_t kBlock = 64;  // rows of a task

}  // namespace

bool attention_fits(const Primitive&, std::span<const array> in) {
  return in[0].dtype() != float64;
}

void rope(const fast::RoPE& op, const Args& args, CpuQueue&) {
  const array& x = args.in[0];
  const int axes = x.ndim();
  const int64_t L = x.shape(-2), D = x.shape(-1), B = x.shape(0);
  const std::vector<int64_t> offsets = integers(args.in[1]);
  const Angles angles =
      angles_of(op.rotation, op.rotation.has_freqs ? &args.in[2] : nullptr, offsets, L);
  const LastAxisContiguous from(x);
  const int64_t row = from.strides[axes - 2];
  const int64_t heads = int64_t(x.size()) / (B * L * D), pieces = (L + kBlock - 1) / kBlock;
  std::byte* const y = ptr<std::byte>(args.out[0]);
  parallel_for(B * heads * pieces, [&](int64_t task) {
    const int64_t piece = task % pieces, matrix = task / pieces, first = piece * kBlock;
    int64_t at = 0, rest = matrix;  // of the matrix (L, D)
    for (int axis = axes - 3; axis >= 0; --axis) {
      at += rest % x.shape()[axis] * from.strides[axis];
      rest /= x.shape()[axis];
    }
    RotateRows rows{.dtype = x.dtype(),
                    .count = std::min(kBlock, L - first),
                    .D = D,
                    .x = from.data + at + first * row,
                    .x_stride = row,
                    .y = y + (matrix * L + first) * D * item(x),
                    .y_stride = D * item(x),
                    .wide_y = false,
                    .inverse = op.inverse};
    rows.turn(angles, matrix / heads, first, Along::positions, op.rotation.traditional);
    rotate_rows(rows);
  });
}

void scaled_dot_product_attention(const fast::Attention& op, const Args& args, CpuQueue&) {
  const array &q = args.in[0], &k = args.in[1], &v = args.in[2], &y = args.out[0];
  if (k.shape(2) == 0) {
    std::fill_n(ptr<std::byte>(y), y.nbytes(), std::byte{0});
    return;
  }
  const LastAxisContiguous from_q(q), from_k(k), from_v(v);
  const std::vector<int64_t> keys(size_t(q.shape(0)), k.shape(2));
  std::vector<float> sinks;
  if (op.has_sinks) sinks = floats(args.in[3 + op.masked]);
  AttentionJob job{.dtype = q.dtype(),
                   .B = q.shape(0),
                   .H = q.shape(1),
                   .Hkv = k.shape(1),
                   .L = q.shape(2),
                   .D = q.shape(3),
                   .Dv = v.shape(3),
                   .q = from_q.heads(0, 1, 2),
                   .k = from_k.heads(0, 1, 2),
                   .v = from_v.heads(0, 1, 2),
                   .y = LastAxisContiguous(y).heads(0, 1, 2),
                   .scale = op.scale,
                   .keys = keys.data(),
                   .causal = op.causal,
                   .sinks = op.has_sinks ? sinks.data() : nullptr};
  if (op.masked) {
    const array& mask = args.in[3];
    job.mask = ptr<std::byte>(mask);
    job.mask_dtype = mask.dtype();
    for (int i = 0; i < 4; ++i) job.mask_strides[i] = mask.node().strides[i] * item(mask);
  }
  attend(job);
}

void cached_attention(const fast::CachedAttention& op, const Args& args, CpuQueue&) {
  const fast::AttentionForm& form = op.form;
  const fast::CachedAttention::Inputs in = op.inputs(args.in);
  const int64_t B = in.B, L = in.L, H = in.H, D = in.D, Dv = in.Dv, Hkv = in.Hkv;
  const array &q = *in.q, &y = args.out[0];
  const array& cache_k = in.k ? args.out[1] : *in.cache_k;
  const array& cache_v = !in.cache_v ? cache_k : in.v ? args.out[2] : *in.cache_v;
  const std::vector<int64_t> offsets = integers(*in.offsets);
  std::vector<int64_t> keys;
  for (int64_t b = 0; b < B; ++b) {
    ensure(offsets[b] >= 0, "cached_attention: row ", b, " has the negative offset ", offsets[b]);
    ensure(form.ring || offsets[b] + L <= in.capacity, "cached_attention: row ", b, " holds ",
           offsets[b], " positions; ", L, " more exceed the cache's capacity of ", in.capacity);
    keys.push_back(offsets[b] + L);
  }
  if (B * L * H * D == 0) return;
  std::optional<Angles> angles;
  if (form.rotation.dims > 0) angles = angles_of(form.rotation, in.freqs, offsets, L);
  const LastAxisContiguous from_q(q), to_k(cache_k), to_v(cache_v);
  ensure(!to_k.copy && !to_v.copy,
         "cached_attention: wanted caches whose last axis is contiguous in memory");
  const Heads k = to_k.heads(0, 1, 2);
  Heads v = to_v.heads(0, 1, 2);
  const bool packed = form.state != Packing::dense;
  if (!in.cache_v && !packed) v.data += (D - Dv) * item(cache_k);
  AttentionJob job{.dtype = q.dtype(),
                   .B = B,
                   .H = H,
                   .Hkv = Hkv,
                   .L = L,
                   .D = D,
                   .Dv = Dv,
                   .q = from_q.heads(0, 2, 1),
                   .k = k,
                   .v = v,
                   .y = LastAxisContiguous(y).heads(0, 2, 1),
                   .scale = form.scale,
                   .keys = keys.data(),
                   .causal = true,
                   .window = form.window,
                   .ring = form.ring ? in.capacity : 0,
                   .softcap = form.softcap,
                   .by_steps = true,
                   .angles = angles ? &*angles : nullptr,
                   .traditional = form.rotation.traditional,
                   .state = form.state,
                   .values_at = in.cache_v ? 0 : D - Dv};

  // The new rows go to their places in the caches: `count` from (b, h, l) on along heads or
  // positions.
  const auto store = [&](const Heads& from, const Heads& to, int64_t dims, bool rotate, Along along,
                         int64_t b, int64_t h, int64_t l, int64_t count) {
    RotateRows rows{.dtype = q.dtype(),
                    .count = count,
                    .D = dims,
                    .x = from.at(b, h, l),
                    .x_stride = from.step(along),
                    .y = to.at(b, h, job.row(offsets[b] + l)),
                    .y_stride = to.step(along),
                    .wide_y = false};
    if (rotate) rows.turn(*angles, b, l, along, form.rotation.traditional);
    if (!packed) return rotate_rows(rows);
    thread_local Scratch scratch;
    float* const wide = scratch.get<float>(size_t(count * dims));
    std::byte* const to_rows = std::exchange(rows.y, reinterpret_cast<std::byte*>(wide));
    const int64_t stride = std::exchange(rows.y_stride, dims * 4);
    rows.wide_y = true;
    rotate_rows(rows);
    for (int64_t i = 0; i < count; ++i)
      pack_state(form.state, wide + i * dims, dims,
                 reinterpret_cast<uint8_t*>(to_rows + i * stride));
  };
  if (in.k) {
    const LastAxisContiguous from_k(*in.k), from_v(in.v ? *in.v : *in.k);
    const auto store_both = [&](Along along, int64_t b, int64_t h, int64_t l, int64_t count) {
      store(from_k.heads(0, 2, 1), k, D, angles.has_value(), along, b, h, l, count);
      if (in.v) store(from_v.heads(0, 2, 1), v, Dv, false, along, b, h, l, count);
    };
    const int64_t pieces = (L + kBlock - 1) / kBlock;
    if (B * L * Hkv * D <= 16384)  // too little to share
      for (int64_t i = 0; i < B * L; ++i) store_both(Along::heads, i / L, 0, i % L, Hkv);
    else
      parallel_for(B * Hkv * pieces, [&](int64_t i) {
        const int64_t b = i / pieces / Hkv, h = i / pieces % Hkv, l = i % pieces * kBlock;
        const int64_t end = std::min(L, l + kBlock);
        for (int64_t at = l, run; at < end; at += run) {
          run = job.run(offsets[b] + at, end - at);
          store_both(Along::positions, b, h, at, run);
        }
      });
  }
  std::vector<float> sinks;
  if (in.sinks) sinks = floats(*in.sinks), job.sinks = sinks.data();
  attend(job);
}

}  // namespace hearth::cpu
