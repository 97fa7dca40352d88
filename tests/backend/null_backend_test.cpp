// A backend that computes nothing: the scheduler's order, lowering, fallback and donation, tested
// without hardware.
#include "tests/backend/null_backend.h"

namespace hearth {
namespace {

using namespace testing;

// Has no kernel on the null backend, but a plain definition.
struct Composed : OwnOp<Composed> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "composed"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  std::optional<Arrays> decompose(const Arrays& in) const override {
    return Arrays{named("second", named("first", in[0]))};
  }
};

class Null : public ::testing::Test {
 protected:
  Null() : stream((null_backend(), new_stream(Device::vulkan))), scope(stream) {}
  const std::vector<std::string>& log() { return null_backend().last->log; }
  Stream stream;
  StreamScope scope;
};

TEST_F(Null, RunsInputsFirstAndEachOnce) {
  const array x({1.0f});
  const array a = named("a", x), b = named("b", a), c = named("c", a, b);
  eval(c, b);
  EXPECT_EQ(log(), (std::vector<std::string>{"a", "b", "c"}));
  eval(c, a);
  EXPECT_EQ(log().size(), 3u);  // all there
}

TEST_F(Null, DecomposesOnTheStreamOfTheOpItReplaces) {
  const array y = apply(std::make_shared<Composed>(), {array({1.0f})});
  {
    StreamScope elsewhere{Device::cpu};
    y.eval();
  }
  EXPECT_EQ(log(), (std::vector<std::string>{"first", "second"}));
}

TEST_F(Null, FallsBackToTheCpuAndSaysSo) {
  const auto before = eval_counters().fallbacks;
  const array y =
      named("after", apply(std::make_shared<CpuOnly>(), {named("before", array({1.0f}))}));
  y.eval();
  EXPECT_EQ(log(), (std::vector<std::string>{"before", "after"}));
  EXPECT_EQ(eval_counters().fallbacks, before + 1);
  // The CPU reads what lies on the device, and the device what the CPU made.
  const array three =
      plus_one({}, {apply(std::make_shared<CpuOnly>(), {plus_one({}, {array({0.0f})})})});
  EXPECT_EQ(three.item<float>(), 3);
  EXPECT_NE(fallback_report().find("cpu_only on vulkan: "), std::string::npos);
}

TEST_F(Null, StrictDeviceForbidsTheCpu) {
  setenv("HEARTH_STRICT_DEVICE", "1", 1);
  const array y = apply(std::make_shared<CpuOnly>(), {array({1.0f})});
  try {
    y.eval();
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(),
                 "cpu_only: no kernel on vulkan, and HEARTH_STRICT_DEVICE forbids the CPU");
  }
  unsetenv("HEARTH_STRICT_DEVICE");
  EXPECT_EQ(y.item<float>(), 2);  // the graph is whole: it can be tried again
}

TEST_F(Null, DonatesOnlyWhatNobodyHolds) {
  const auto before = eval_counters().missed_donations;
  const array x({1.0f, 2.0f});
  const array a = named("a", named("b", x));
  a.eval();
  EXPECT_EQ(eval_counters().missed_donations, before);
  const array held = named("held", x), y = named("y", held);
  eval(y);
  EXPECT_EQ(eval_counters().missed_donations, before + 1);
  named("z", held).eval();  // and again: who read it before reads no more
  EXPECT_EQ(eval_counters().missed_donations, before + 2);
  { const Recording recorded({named("r", held)}); }
  named("last", held).eval();
  EXPECT_EQ(eval_counters().missed_donations, before + 3);
}

TEST_F(Null, TakesTheMemoryOfAnInputThatIsReadTwiceAtOnce) {
  NullMemory& memory = null_memory(0);
  array x = named("x", array({1.0f, 2.0f}));
  x.eval();
  memory.reset_peak();
  const size_t before = memory.peak();
  const array y = named("y", x, x);
  x = array(0.0f);
  y.eval();
  EXPECT_EQ(memory.peak(), before);
}

TEST_F(Null, WhatWasScheduledBeforeAnErrorStillRuns) {
  setenv("HEARTH_STRICT_DEVICE", "1", 1);
  const array good = plus_one({}, {array({1.0f})});
  const array bad = apply(std::make_shared<CpuOnly>(), {array({1.0f})});
  EXPECT_THROW(async_eval(good, bad), std::runtime_error);
  synchronize(stream);
  EXPECT_TRUE(good.is_available());
  const array other = plus_one({}, {array({1.0f})});
  EXPECT_THROW(Recording({other, bad}), std::runtime_error);
  unsetenv("HEARTH_STRICT_DEVICE");
  synchronize(stream);
  EXPECT_TRUE(other.is_available());
  EXPECT_EQ(good.item<float>() + other.item<float>(), 4);
}

TEST_F(Null, DevicesHaveNames) {
  EXPECT_EQ(parse_device("vulkan:1"), Device(Device::vulkan, 1));
  EXPECT_EQ(to_string(Device(Device::vulkan, 1)), "vulkan:1");
  for (const char* bad : {"vulkan:2", "cpu:1", "gpu", "cpu:", "cpu:x", "", "cpu:99999999999"})
    EXPECT_THROW(parse_device(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace hearth
