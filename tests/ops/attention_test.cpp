// Attention, with and without a cache: the kernels against their plain definitions, over dtypes,
// layouts and lengths.
#include "hearth/ops/primitives_fast.h"
#include "tests/on_device.h"
#include "tests/ops/fused.h"

namespace hearth {
namespace {

using namespace fused;

TEST(Fast, AttentionIsAsDefined) {
  struct Case {
    int B, H, Hkv, L, S, D, Dv;
  };
  for (Dtype dtype : {float32, float16, bfloat16, float64})
    for (Case c :
         {Case{1, 2, 2, 1, 40, 32, 32}, Case{2, 4, 1, 2, 600, 80, 80}, Case{1, 6, 2, 9, 33, 40, 24},
          Case{2, 3, 3, 40, 150, 20, 17}, Case{1, 2, 1, 300, 300, 16, 16},
          Case{1, 1, 1, 20, 7, 3, 5}, Case{1, 2, 2, 3, 0, 8, 8}, Case{0, 2, 2, 3, 4, 8, 8}}) {
      const array q = numbers({c.B, c.H, c.L, c.D}, dtype, 1);
      const array k = numbers({c.B, c.Hkv, c.S, c.D}, dtype, 2);
      const array v = numbers({c.B, c.Hkv, c.S, c.Dv}, dtype, 3);
      const array added = numbers({c.B, c.H, c.L, c.S}, dtype, 4);
      const array seen = greater(numbers({c.B, 1, c.L, c.S}, float32, 5), array(-0.3f));
      const array mask = broadcast_to(seen, {c.B, c.H, c.L, c.S});
      const array sinks = numbers({c.H}, dtype, 6);
      const std::string what = concat("attention of ", dtype, " ", q.shape(), " ", v.shape());
      using fast::Attention;
      expect_as_defined(std::make_shared<Attention>(0.3f, false, false, false), {q, k, v}, what);
      expect_as_defined(std::make_shared<Attention>(2.0f, true, false, false), {q, k, v}, what);
      expect_as_defined(std::make_shared<Attention>(0.3f, true, false, true), {q, k, v, sinks},
                        what + " sinks");
      expect_as_defined(std::make_shared<Attention>(0.3f, false, true, false), {q, k, v, added},
                        what + " added mask");
      expect_as_defined(std::make_shared<Attention>(0.3f, false, true, true),
                        {q, k, v, mask, sinks}, what + " boolean mask");
    }
}

TEST(Fast, AttentionTakesEveryLayout) {
  for (int L : {2, 30}) {
    const auto q = layouts(numbers({2, 4, L, 10}, float16, 1));
    const auto k = layouts(numbers({2, 2, 50, 10}, float16, 2));
    const auto v = layouts(numbers({2, 2, 50, 10}, float16, 3));
    for (size_t i = 0; i < q.size(); ++i)
      expect_as_defined(std::make_shared<fast::Attention>(0.5f, true, false, false),
                        {q[i], k[(i + 1) % 4], v[(i + 2) % 4]}, "strided attention");
  }
}

TEST(Fast, AttentionOverMaskedStretches) {
  // 1,100 keys: the first 600 are masked by -infinity, so whole blocks hold nothing.
  const int S = 1100;
  std::vector<float> mask(S, 0.0f);
  std::fill_n(mask.begin(), 600, -kInf);
  for (int L : {1, 40}) {
    const array q = numbers({1, 1, L, 16}, float32, 1), k = numbers({1, 1, S, 16}, float32, 2);
    const array v = numbers({1, 1, S, 16}, float32, 3);
    const array m = array(mask.begin(), {1, 1, 1, S});
    const array y = fast::scaled_dot_product_attention(q, k, v, 1, "array", m);
    const array tail_k = slice(k, {0, 0, 600, 0}, k.shape()),
                tail_v = slice(v, {0, 0, 600, 0}, v.shape());
    expect_close(y, fast::scaled_dot_product_attention(q, tail_k, tail_v, 1), {8, 1}, "tail");
  }
}

TEST(Fast, CachedAttentionIsAsDefined) {
  for (Dtype dtype : {float32, float16, bfloat16})
    for (const CachedCase& c :
         {CachedCase{1, 1, 10, 10, 32, 64, 12, {17}},
          CachedCase{3, 1, 4, 2, 80, 40, 32, {0, 39, 5}},
          CachedCase{2, 3, 2, 2, 20, 700, 20, {640, 2}, true},
          CachedCase{2, 50, 4, 2, 24, 200, 8, {0, 150}, false, true},
          CachedCase{1, 300, 2, 1, 16, 512, 0, {100}}, CachedCase{2, 0, 2, 2, 8, 4, 8, {1, 2}}}) {
      expect_as_defined(cached_op(c, 500.0f, 1.5f), cached_inputs(c, dtype),
                        concat("cached attention, L ", c.L, ", D ", c.D, ", ", dtype));
    }
}

// Every trait of the form, by few queries and by many, alone and together.
TEST(Fast, CachedAttentionOfEveryForm) {
  for (Dtype dtype : {float32, bfloat16})
    for (int L : {1, 3, 40}) {
      const auto expect = [&](CachedCase c, const char* what) {
        expect_as_defined(cached_op(c, 500.0f, 1.5f), cached_inputs(c, dtype),
                          concat("cached attention ", what, ", L ", L, ", ", dtype));
      };
      const CachedCase plain{2, L, 4, 2, 24, 700, 8, {610, 33}};
      const auto with = [&](const auto& change) {
        CachedCase c = plain;
        change(c);
        return c;
      };
      for (int window : {1, 2, 63, 64, 65, 500, 5000})
        expect(with([&](auto& c) { c.form.window = window; }), "with a window");
      expect(with([](auto& c) { c.form.softcap = 0.7f; }), "with a softcap");
      expect(with([](auto& c) { c.form.softcap = 50, c.form.window = 9; }), "with both");
      expect(with([](auto& c) { c.form.has_sinks = true; }), "with sinks");
      expect(with([](auto& c) { c.form.has_sinks = true, c.form.window = 7; }), "with both");
      expect(with([](auto& c) { c.form.rotation.amplitude = 1.3f; }), "with an amplitude");
      expect(with([](auto& c) { c.own_freqs = true; }), "with freqs of each row");
      expect(with([](auto& c) { c.Dv = 40; }), "of long values");
      expect(with([](auto& c) { c.Dv = 5; }), "of short values");
      expect(with([](auto& c) { c.form.latent = 16; }), "of latents");
      for (int capacity : {64, 128, 130, 512})  // rows that have gone around, and not
        expect(
            with([&](auto& c) { c.form.ring = true, c.form.window = 21, c.capacity = capacity; }),
            "in a ring");
      // What another layer wrote at this step: all that is before the end.
      CachedCase read = with([&](auto& c) {
        c.form.window = 30, c.form.has_sinks = true, c.form.softcap = 3, c.Dv = 20;
      });
      for (int& offset : read.offsets) offset += L;
      Arrays in = cached_inputs(read, dtype);
      for (int& offset : read.offsets) offset -= L;
      in.erase(in.begin() + 1, in.begin() + 3);
      in[3] = array(read.offsets.begin(), {2}, int32);
      read.form.writes = false;
      expect_as_defined(cached_op(read, 500.0f, 1.5f), in, "cached attention that writes nothing");
    }
}

// Steps of any length over a ring give what a window over everything does: the same bits, as long
// as the queries are few.
TEST(Fast, RingsEqualWholeCaches) {
  HEARTH_CPU_ONLY("rings are kept on the CPU alone");
  const int T = 1300, D = 16, window = 50;
  const array q = numbers({2, T, 4, D}, float16, 1), k = numbers({2, T, 2, D}, float16, 2),
              v = numbers({2, T, 2, D}, float16, 3);
  for (const int most : {1, 4, 77}) {
    const auto run = [&](int capacity, bool ring) {
      array cache_k = numbers({2, 2, capacity, D}, float16, 7), cache_v = copy(cache_k);
      Arrays parts;
      for (int at = most > 1 ? 0 : 1000, n; at < T; at += n) {
        n = std::min(T - at, at == 1000 && most == 1 ? 1 : most);
        const auto cut = [&](const array& x) {
          return slice(x, {0, at, 0, 0}, {2, at + n, x.shape(2), D});
        };
        const auto r = fast::cached_attention(
            cut(q), cut(k), cut(v), cache_k, cache_v, array({at, at}, int32),
            {.scale = 0.3f, .window = window, .ring = ring, .rotation = {.dims = 8}});
        cache_k = r.cache_k, cache_v = r.cache_v;
        eval(r.y);
        if (at >= 1000 + window) parts.push_back(r.y);
      }
      return concatenate(parts, 1);
    };
    const array whole = run(T, false), ring = run(512, true);
    if (most <= 4)
      EXPECT_TRUE(same_bits(ring, whole)) << most;
    else
      expect_close(ring, whole, {2, 1}, "a ring");
  }
}

/// The largest difference of two arrays.
float apart(const array& a, const array& b) {
  const auto x = astype(a, float32).to_vector<float>(), y = astype(b, float32).to_vector<float>();
  float most = 0;
  for (size_t i = 0; i < x.size(); ++i)
    most = std::isfinite(x[i]) ? std::max(most, std::abs(x[i] - y[i])) : kInf;
  return most;
}

// Keys and values in fewer bits: as the plain definition has them, but for a code that rounding
// tips over; and near what they would be in whole.
TEST(Fast, CachedAttentionOfPackedStates) {
  for (const Packing state : {Packing::q8_0, Packing::q4_0})
    for (const Dtype dtype : {float32, float16, bfloat16})
      for (const int L : {1, 3, 40}) {
        const CachedCase plain{2, L, 4, 2, 40, 700, 8, {610, 33}};
        const auto expect = [&](CachedCase c, const char* what) {
          const std::string who = concat(state_name(state), " ", what, ", L ", L, ", ", dtype);
          const array whole = apply_all(cached_op(c, 500.0f, 1.5f), cached_inputs(c, dtype))[0];
          c.form.state = state;
          const auto op = cached_op(c, 500.0f, 1.5f);
          const array y = apply_all(op, cached_inputs(c, dtype))[0];
          const float rounding = dtype == bfloat16 ? 0.02f : 0.004f;
          EXPECT_LT(apart(y, (*op->decompose(cached_inputs(c, dtype)))[0]),
                    state == Packing::q8_0 ? 0.01f + rounding : 0.15f)
              << who;
          EXPECT_LT(apart(y, whole), state == Packing::q8_0 ? 0.02f + rounding : 0.35f) << who;
        };
        expect(plain, "plain");
        CachedCase c = plain;
        c.form.latent = 24;
        expect(c, "latents");
        c = plain, c.form.window = 21, c.form.ring = true, c.capacity = 128;
        expect(c, "in a ring");
        c = plain, c.D = 64, c.form.has_sinks = true, c.form.softcap = 3;
        expect(c, "with sinks and a softcap");
      }
}

TEST(Fast, PackedStatesAreTheSameRowByRowAndAsArrays) {
  for (const auto& [state, steps] : {std::pair(Packing::q8_0, 127.0f), {Packing::q4_0, 7.0f}})
    for (const int dims : {1, 31, 32, 80, 128}) {
      const array x = multiply(numbers({7, dims}, float32, 3), array(2.5f));
      const array rows = packed_state(state, x);
      EXPECT_EQ(rows.shape(), (Shape{7, int(state_row(state, dims))}));
      const auto bytes = rows.to_vector<uint8_t>();
      const auto values = x.to_vector<float>();
      const auto back = unpacked_state(state, rows, dims).to_vector<float>();
      std::vector<uint8_t> row(size_t(state_row(state, dims)));
      for (int r = 0; r < 7; ++r) {
        pack_state(state, values.data() + r * dims, dims, row.data());
        EXPECT_TRUE(std::equal(row.begin(), row.end(), bytes.begin() + r * long(row.size())))
            << state_name(state) << " " << dims;
        float largest = 0;
        for (int i = 0; i < dims; ++i)
          largest = std::max(largest, std::abs(values[size_t(r * dims + i)]));
        for (int i = 0; i < dims; ++i)
          EXPECT_NEAR(back[size_t(r * dims + i)], values[size_t(r * dims + i)],
                      3 * largest / steps);
      }
    }
  const float zeros[32] = {}, bad[32] = {1, INFINITY};
  uint8_t out[34];
  pack_state(Packing::q8_0, zeros, 32, out);
  EXPECT_TRUE(std::all_of(out, out + 34, [](uint8_t b) { return b == 0; }));
  pack_state(Packing::q8_0, bad, 32, out);
  EXPECT_TRUE(
      std::isnan(unpacked_state(Packing::q8_0, array(out, {1, 34}), 32).to_vector<float>()[0]));
}

// Up to 32 queries of a row give the bits that they give one after the other; rows are at different
// places, and a kv head serves so few query heads that keys are streamed, or so many that they are
// packed.
TEST(Fast, AFewQueriesGiveTheBitsOfOneByOne) {
  HEARTH_CPU_ONLY(testing::kBits);
  struct Case {
    int heads, kv_heads, D, capacity, window;
    bool ring, sinks;
  };
  const Case cases[] = {{2, 2, 64, 1400, 0, false, false},  {4, 1, 80, 1400, 0, false, true},
                        {20, 1, 24, 1400, 0, false, false}, {4, 2, 12, 1400, 70, false, false},
                        {8, 2, 33, 512, 200, true, true},   {40, 2, 16, 512, 100, true, false}};
  const Packing states[] = {Packing::dense, Packing::q8_0, Packing::q4_0};
  for (const Packing state : states)
    for (const Dtype dtype : {float32, float16, bfloat16})
      for (const Case& c : cases)
        for (const int L : {2, 5, 32}) {
          const array q = numbers({2, L, c.heads, c.D}, dtype, 1),
                      k = numbers({2, L, c.kv_heads, c.D}, dtype, 2),
                      v = numbers({2, L, c.kv_heads, c.D}, dtype, 3);
          fast::AttentionArrays more;
          if (c.sinks) more.sinks = numbers({c.heads}, dtype, 4);
          const fast::AttentionForm form{.scale = 0.2f,
                                         .window = c.window,
                                         .ring = c.ring,
                                         .rotation = {.dims = 8},
                                         .state = state};
          const auto cache = [&](uint32_t seed) {
            const array all = numbers({2, c.kv_heads, c.capacity, c.D}, dtype, seed);
            return state == Packing::dense ? all : copy(packed_state(state, all));
          };
          const auto in_steps_of = [&](int n) {
            array cache_k = cache(7), cache_v = cache(8);
            Arrays parts;
            for (int at = 0; at < L; at += n) {
              const auto cut = [&](const array& x) {
                return slice(x, {0, at, 0, 0}, {2, at + n, x.shape(2), c.D});
              };
              const auto r =
                  fast::cached_attention(cut(q), cut(k), cut(v), cache_k, cache_v,
                                         array({1100 + at, 500 + at}, int32), form, more);
              cache_k = r.cache_k, cache_v = r.cache_v;
              parts.push_back(r.y);
            }
            return concatenate(parts, 1);
          };
          EXPECT_TRUE(same_bits(in_steps_of(L), in_steps_of(1)))
              << dtype << ", " << c.heads << " heads on " << c.kv_heads << ", L " << L;
        }
}

TEST(Fast, CachedAttentionRefusesFormsThatDoNotFit) {
  const Arrays in = cached_inputs({1, 4, 2, 2, 8, 16, 0, {3}}, float32);
  const auto refuse = [&](const fast::AttentionForm& form, const fast::AttentionArrays& more = {}) {
    EXPECT_THROW(fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5], form, more),
                 std::invalid_argument);
  };
  refuse({.window = -1});
  refuse({.softcap = -1});
  refuse({.ring = true});                // no window
  refuse({.window = 14, .ring = true});  // 14 and 4 rows need 17
  refuse({.rotation = {.dims = 10}});
  refuse({.rotation = {.dims = -2}});
  refuse({.latent = 4});
  refuse({}, {.sinks = array({1.0f, 2.0f, 3.0f})});
  refuse({.rotation = {.dims = 4}}, {.freqs = ones({3})});
  refuse({.rotation = {.dims = 4}}, {.freqs = ones({2, 2})});
  EXPECT_THROW(fast::cached_attention(in[0], in[1], in[3], in[5], {.latent = 9}),
               std::invalid_argument);
  EXPECT_THROW(fast::cached_attention(in[0], in[1], in[3], in[5], {}), std::invalid_argument);
}

TEST(Fast, CachedAttentionWritesInPlace) {
  const Arrays in = cached_inputs({1, 2, 2, 2, 8, 16, 0, {3}}, float32);
  const float* before = in[3].data<float>();
  const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5], {.scale = 1});
  eval(r.y, r.cache_k, r.cache_v);
  EXPECT_EQ(r.cache_k.data<float>(), before);
  EXPECT_EQ(slice(r.cache_v, {0, 1, 3, 0}, {1, 2, 5, 8}).to_vector<float>(),
            slice(swapaxes(in[2], 1, 2), {0, 1, 0, 0}, {1, 2, 2, 8}).to_vector<float>());
}

// What a recorded step relies on holds where no kernel takes the form, too.
TEST(Fast, CachedAttentionThatIsDecomposedWritesInPlace) {
  HEARTH_CPU_ONLY("it compares addresses of the host's");
  const Arrays in = cached_inputs({1, 2, 2, 2, 8, 16, 4, {3}}, float64);
  array cache_k = copy(in[3]), cache_v = copy(in[4]), offsets = copy(in[5]);
  eval(cache_k, cache_v, offsets);
  const double *const k = cache_k.data<double>(), *const v = cache_v.data<double>();
  const auto step = [&](const array& at) {
    return fast::cached_attention(in[0], in[1], in[2], cache_k, cache_v, at,
                                  {.scale = 1, .window = 3, .rotation = {.dims = 4}});
  };
  const auto first = step(offsets);
  eval(first.y, first.cache_k, first.cache_v);
  EXPECT_EQ(first.cache_k.data<double>(), k);
  EXPECT_EQ(first.cache_v.data<double>(), v);
  cache_k = first.cache_k, cache_v = first.cache_v;
  const auto next = step(offsets);
  const array after = assign(offsets, add(offsets, array(2)));
  Recording recording({next.y, next.cache_k, next.cache_v, after});
  for (int i = 0; i < 3; ++i) recording.run();  // at 3, 5, 7
  synchronize();
  const auto rows = slice(cache_v, {0, 0, 3, 0}, {1, 2, 9, 8});
  const array each = swapaxes(in[2], 1, 2);
  EXPECT_TRUE(same_bits(rows, concatenate({each, each, each}, 2)));
}

// Steps of any length over one cache give what attention over the whole does.
TEST(Fast, ChunksOverACacheEqualTheWhole) {
  const int B = 2, T = 40, H = 4, Hkv = 2, D = 12;
  const array q = numbers({B, T, H, D}, float32, 1), k = numbers({B, T, Hkv, D}, float32, 2),
              v = numbers({B, T, Hkv, D}, float32, 3);
  const auto heads = [](const array& x) { return swapaxes(x, 1, 2); };
  const array whole = heads(fast::scaled_dot_product_attention(
      fast::rope(heads(q), 8, false, 10000.0f, 1, 0),
      fast::rope(heads(k), 8, false, 10000.0f, 1, 0), heads(v), 0.3f, "causal"));
  for (std::vector<int> steps : {std::vector<int>{40}, {1, 1, 1, 37}, {16, 16, 8}, {39, 1}}) {
    array cache_k = numbers({B, Hkv, 64, D}, float32, 7),
          cache_v = numbers({B, Hkv, 64, D}, float32, 8);
    Arrays parts;
    int at = 0;
    for (int n : steps) {
      const auto cut = [&](const array& x) {
        return slice(x, {0, at, 0, 0}, {B, at + n, x.shape(2), D});
      };
      const auto r =
          fast::cached_attention(cut(q), cut(k), cut(v), cache_k, cache_v, array({at, at}, int32),
                                 {.scale = 0.3f, .rotation = {.dims = 8}});
      cache_k = r.cache_k;
      cache_v = r.cache_v;
      parts.push_back(r.y);
      at += n;
    }
    expect_close(concatenate(parts, 1), whole, {16, 1}, "chunks");
  }
}

TEST(Fast, CachedAttentionRefusesPositionsBeyondTheCache) {
  for (int offset : {15, -1}) {
    Arrays in = cached_inputs({1, 2, 2, 2, 8, 16, 0, {3}}, float32);
    in[5] = array({offset}, int32);
    const auto r = fast::cached_attention(in[0], in[1], in[2], in[3], in[4], in[5], {.scale = 1});
    EXPECT_THROW(r.y.eval(), std::runtime_error);
  }
}

}  // namespace
}  // namespace hearth
