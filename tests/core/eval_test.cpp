// Order, donation, streams and errors of the scheduler, with operations of the test's own.
#include "hearth/core/eval.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "hearth/core/backend.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

// x + by, element by element, on float32; may take long, may fail.
struct Plus : OwnOp<Plus> {
  HEARTH_FIELDS(by, milliseconds, fails)
  float by;
  int milliseconds = 0;
  bool fails = false;
  explicit Plus(float by, int milliseconds = 0, bool fails = false)
      : by(by), milliseconds(milliseconds), fails(fails) {}
  std::string_view name() const override { return "plus"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), float32}}; }
  bool donates() const override { return true; }
};
// (x, y) -> (x + y, x - y): two outputs.
struct Both : OwnOp<Both> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "both"; }
  Specs infer(std::span<const array> in) const override {
    return {{in[0].shape(), float32}, {in[0].shape(), float32}};
  }
};
// No kernel anywhere; Twice has a plain definition.
struct Unknown : OwnOp<Unknown> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "unknown"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), float32}}; }
};
array plus(const array& x, float by, int ms = 0, bool fails = false) {
  return apply(std::make_shared<Plus>(by, ms, fails), {x});
}
struct Twice : OwnOp<Twice> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "twice"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), float32}}; }
  std::optional<Arrays> decompose(const Arrays& in) const override {
    return Arrays{apply_all(std::make_shared<Both>(), {in[0], in[0]})[0]};
  }
};

constexpr int kUntilGate = -1;  // milliseconds: until the gate opens, at most 5 s
std::atomic<bool> gate{false};

void plus_kernel(const Plus& op, const Args& args, Queue&) {
  for (int i = 0; i < 5000 && op.milliseconds == kUntilGate && !gate; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (op.milliseconds > 0) std::this_thread::sleep_for(std::chrono::milliseconds(op.milliseconds));
  ensure(!op.fails, "plus: told to fail");
  const float* x = ptr<float>(args.in[0]);
  float* y = ptr<float>(args.out[0]);
  for (size_t i = 0; i < args.out[0].size(); ++i) y[i] = x[i] + op.by;
}
void both_kernel(const Both&, const Args& args, Queue&) {
  for (size_t i = 0; i < args.out[0].size(); ++i) {
    const float x = ptr<float>(args.in[0])[i], y = ptr<float>(args.in[1])[i];
    ptr<float>(args.out[0])[i] = x + y;
    ptr<float>(args.out[1])[i] = x - y;
  }
}

class Eval : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    backend(Device::cpu)->kernels.add<&plus_kernel>().add<&both_kernel>();
  }
};
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TEST_F(Eval, ComputesOnlyWhenAsked) {
  array x({1.0f, 2.0f});
  array y = plus(plus(x, 1), 2);
  EXPECT_FALSE(y.is_available());
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{4, 5}));
  EXPECT_TRUE(y.is_available());
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 2}));
}

TEST_F(Eval, OutputsOfOneOperation) {
  auto out = apply_all(std::make_shared<Both>(), {array({5.0f}), array({3.0f})});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(plus(out[1], 1).item<float>(), 3);
  EXPECT_EQ(out[0].item<float>(), 8);
  // The second output alone, the first one forgotten.
  auto alone = apply_all(std::make_shared<Both>(), {array({5.0f}), array({3.0f})});
  array second = alone[1];
  alone.clear();
  EXPECT_EQ(second.item<float>(), 2);
}

TEST_F(Eval, DecomposesWhatHasNoKernel) {
  EXPECT_EQ(apply(std::make_shared<Twice>(), {array({4.0f})}).item<float>(), 8);
  try {
    apply(std::make_shared<Unknown>(), {array({4.0f})}).eval();
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "unknown: no kernel on cpu for float32 (1)");
  }
}

TEST_F(Eval, MillionNodes) {
  array x(0.0f);
  for (int i = 0; i < 1'000'000; ++i) x = plus(x, 1);
  EXPECT_EQ(x.item<float>(), 1'000'000);
  array dropped(0.0f);
  for (int i = 0; i < 1'000'000; ++i) dropped = plus(dropped, 1);
}

TEST_F(Eval, DonatesDeadInputsAndNoOthers) {
  reset_peak_memory();
  const size_t before = memory_before();
  array x(std::vector<float>(1 << 20, 1.0f).begin(), {1 << 20});
  array y = x;
  for (int i = 0; i < 10; ++i) y = plus(y, 1);
  EXPECT_EQ(y.to_vector<float>()[77], 11);
  EXPECT_EQ(x.to_vector<float>()[77], 1);  // the user's own array is never written
  EXPECT_LE(get_peak_memory() - before, 3u * (4u << 20));
  array kept = plus(x, 1), further = plus(kept, 1);
  eval(further);
  EXPECT_EQ(kept.to_vector<float>()[5], 2);
  EXPECT_EQ(further.to_vector<float>()[5], 3);
}

TEST_F(Eval, ErrorsReachWhoeverWaits) {
  array bad = plus(plus(array({1.0f}), 1, 0, true), 1);
  array good = plus(array({1.0f}), 1);
  EXPECT_THROW(eval(good, bad), std::runtime_error);
  EXPECT_EQ(good.item<float>(), 2);  // what does not need it is there
  EXPECT_THROW(bad.item<float>(), std::runtime_error);
  array later = plus(array({1.0f}), 1, 0, true);
  EXPECT_NO_THROW(async_eval(later));
  EXPECT_THROW(later.eval(), std::runtime_error);
}

TEST_F(Eval, AsyncReturnsAtOnce) {
  array slow = plus(array({1.0f}), 1, 300);
  const auto start = Clock::now();
  async_eval(slow);
  EXPECT_LT(seconds_since(start), 0.1);
  EXPECT_FALSE(slow.is_available());
  EXPECT_EQ(slow.item<float>(), 2);
}

TEST_F(Eval, StreamsRunBesideEachOtherAndWaitForData) {
  const Stream s = new_stream(Device::cpu), t = new_stream(Device::cpu);
  auto on = [](Stream where, const array& x, float by) {
    StreamScope scope(where);
    return plus(x, by, 150);
  };
  const auto start = Clock::now();
  array a = on(s, array({1.0f}), 1), b = on(t, array({1.0f}), 2);
  eval(a, b);
  EXPECT_LT(seconds_since(start), 0.28);                  // both slept 0.15 s
  array c = on(t, on(s, on(t, array({1.0f}), 1), 2), 3);  // t -> s -> t
  EXPECT_EQ(c.item<float>(), 7);
}

TEST_F(Eval, ManyThreadsBuildAndEvaluateOneGraph) {
  array shared = plus(array({1.0f}), 1, 5);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      for (int k = 0; k < 50; ++k) {
        array mine = plus(plus(shared, float(i)), float(k));
        right += mine.item<float>() == float(2 + i + k);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(right, 400);
}

TEST_F(Eval, SynchronizeWaitsForTheStream) {
  array slow = plus(array({1.0f}), 1, 50);
  async_eval(slow);
  synchronize();
  EXPECT_TRUE(slow.is_available());
  const Stream other = new_stream(Device::cpu);
  StreamScope scope(other);
  array there = plus(array({1.0f}), 1, 50);
  async_eval(there);
  synchronize(other);
  EXPECT_TRUE(there.is_available());
}

TEST_F(Eval, WorkBeforeAnotherStreamsResultDoesNotWaitForIt) {
  const Stream s = new_stream(Device::cpu);
  gate = false;
  const array early = plus(array({1.0f}), 1);
  array late = array({1.0f});
  {
    StreamScope scope(s);
    late = plus(late, 1, kUntilGate);
  }
  late = plus(late, 1);
  async_eval(early, late);
  EXPECT_EQ(early.item<float>(), 2);
  EXPECT_FALSE(late.is_available());
  gate = true;
  EXPECT_EQ(late.item<float>(), 3);
}

TEST_F(Eval, AViewOfWhatIsNotThereYetIsNotThereYet) {
  gate = false;
  const array slow = plus(array({1.0f, 2.0f}), 1, kUntilGate);
  async_eval(slow);
  const array view = flip(slow), again = reshape(view, {1, 2});
  async_eval(view);
  EXPECT_FALSE(view.is_available());
  gate = true;
  EXPECT_EQ(again.to_vector<float>(), (std::vector<float>{3, 2}));
}

TEST_F(Eval, ManyErrorsOneMessage) {
  const array first = plus(array({1.0f}), 1, 0, true);
  const array fine = plus(array({1.0f}), 1);
  const auto both = apply_all(std::make_shared<Both>(), {fine, plus(first, 1)});
  for (int time : {1, 2}) {  // whoever asks, and as often
    for (const array& x : {first, both[0], both[1], plus(both[1], 1), flip(both[0])}) try {
        x.eval();
        FAIL() << time;
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "plus: told to fail");
      }
  }
  EXPECT_EQ(plus(fine, 1).item<float>(), 3);
}

TEST_F(Eval, OfSeveralOutputsOnlyThoseThatLiveHoldMemory) {
  constexpr int n = 1 << 20;
  const array x = copy(ones({n}));
  x.eval();
  const size_t before = memory_before();
  for (size_t keep : {0u, 1u}) {
    auto out = apply_all(std::make_shared<Both>(), {x, x});
    const array kept = out[keep];
    out.clear();
    kept.eval();
    EXPECT_EQ(get_active_memory() - before, size_t{4} * n) << keep;
    EXPECT_EQ(kept.to_vector<float>()[n - 1], keep == 0 ? 2 : 0);
  }
  // The second is asked for when the first is long there and gone.
  auto out = apply_all(std::make_shared<Both>(), {x, x});
  out[0].eval();
  out.erase(out.begin());
  EXPECT_EQ(out[0].to_vector<float>()[7], 0);
}

TEST_F(Eval, DonatesNoMemoryThatSomebodyElseReads) {
  constexpr int n = 64;
  const array x = reshape(arange(n * n), {n, n}) * 1.0f;
  const auto want = x.to_vector<float>();
  const auto at = [&](int i, int j) { return want[size_t(i * n + j)]; };
  // A dead input that does not lie as the output does: transposed, backwards, a part, repeated.
  const auto fresh = [&] { return x * 2.0f; };
  const array turned = transpose(fresh()) + 1.0f, back = flip(fresh()) + 1.0f;
  const array row = broadcast_to(slice(fresh(), {3, 0}, {4, n}), {n, n}) + 1.0f;
  const array part = slice(fresh(), {1, 0}, {n, n}) + 1.0f;
  eval(turned, back, row, part);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const auto k = size_t(i * n + j);
      ASSERT_EQ(turned.data<float>()[k], 2 * at(j, i) + 1);
      ASSERT_EQ(back.data<float>()[k], 2 * at(n - 1 - i, n - 1 - j) + 1);
      ASSERT_EQ(row.data<float>()[k], 2 * at(3, j) + 1);
      if (i + 1 < n) {
        ASSERT_EQ(part.data<float>()[k], 2 * at(i + 1, j) + 1);
      }
    }
  // A view lives on when the array it was taken of is dead.
  array y = fresh();
  const array view = reshape(y, {n * n});
  view.eval();
  const array z = std::move(y) + 1.0f;
  y = array(0.0f);
  z.eval();
  EXPECT_EQ(view.to_vector<float>()[5], 10);
  EXPECT_EQ(z.to_vector<float>()[5], 11);
  // A part would keep the whole.
  const size_t before = memory_before();
  const array last = slice(fresh(), {n - 1, 0}, {n, n}) + 1.0f;
  last.eval();
  EXPECT_EQ(get_active_memory() - before, 4u * n);
  // Of other sizes of elements: the memory would be too small, or only half used.
  const array half = astype(fresh(), float16), doubled = astype(fresh(), float64);
  EXPECT_EQ(doubled.to_vector<double>()[n * n - 1], 2.0 * (n * n - 1));
  EXPECT_EQ(half.to_vector<float>()[7], 14);
}

TEST_F(Eval, CountersCountWhatRan) {
  const array x = plus(array({1.0f}), 1), y = plus(x, 1), view = reshape(y, {1, 1});
  const auto before = eval_counters();
  eval(view, x);
  EXPECT_EQ(eval_counters().kernels, before.kernels + 2);  // a view is none
  EXPECT_EQ(eval_counters().fallbacks, before.fallbacks);
  eval(view, y);
  EXPECT_EQ(eval_counters().kernels, before.kernels + 2);
}

}  // namespace
}  // namespace hearth
