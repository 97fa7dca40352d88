// A backend that computes nothing: the scheduler's order, lowering, fallback and donation, tested
// without hardware.
#include <gtest/gtest.h>

#include "hearth/core/backend.h"
#include "hearth/core/eval.h"
#include "hearth/ops/primitives.h"

namespace hearth {
namespace {

struct Named : OwnOp<Named> {
  HEARTH_FIELDS(text)
  explicit Named(std::string text) : text(std::move(text)) {}
  std::string_view name() const override { return text; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  bool donates() const override { return true; }
  const std::string text;
};
// Only the CPU can run it.
struct CpuOnly : OwnOp<CpuOnly> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "cpu_only"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
};
array named(const char* text, const array& x) { return apply(std::make_shared<Named>(text), {x}); }
array named(const char* text, const array& x, const array& y) {
  return apply(std::make_shared<Named>(text), {x, y});
}
// Has no kernel on the null backend, but a plain definition.
struct Composed : OwnOp<Composed> {
  HEARTH_FIELDS()
  std::string_view name() const override { return "composed"; }
  Specs infer(std::span<const array> in) const override { return {{in[0].shape(), in[0].dtype()}}; }
  std::optional<Arrays> decompose(const Arrays& in) const override {
    return Arrays{named("second", named("first", in[0]))};
  }
};

// Runs work where it is submitted, and writes down the names.
class NullQueue : public Queue {
 public:
  Allocator& allocator() override { return host_memory(); }
  void submit(Batch batch) override {
    for (const Event& e : batch.after)
      if (!e->done) e->queue->wait(e);
    for (Work& w : batch.work) run(w, *this);
    batch.done->done = 1;
  }
  void flush() override {}
  void wait(const Event&) override {}
  std::vector<std::string> log;
};
void log_name(const Named& op, const Args&, NullQueue& queue) { queue.log.emplace_back(op.name()); }
void plus_one(const CpuOnly&, const Args& args, Queue&) {
  for (size_t i = 0; i < args.out[0].size(); ++i)
    ptr<float>(args.out[0])[i] = ptr<float>(args.in[0])[i] + 1;
}

class NullBackend : public Backend {
 public:
  NullBackend() { kernels.add<&log_name>(); }
  Device::DeviceType type() const override { return Device::vulkan; }
  int device_count() const override { return 2; }
  std::string describe(int) const override { return "nothing"; }
  DeviceMemory memory(int) const override { return {}; }
  std::unique_ptr<Queue> queue(Stream) override {
    auto q = std::make_unique<NullQueue>();
    last = q.get();
    return q;
  }
  NullQueue* last = nullptr;
};

class Null : public testing::Test {
 protected:
  static NullBackend& null() {
    static NullBackend& b = [&]() -> NullBackend& {
      auto* made = new NullBackend;
      register_backend(*made);
      backend(Device::cpu)->kernels.add<&plus_one>();
      return *made;
    }();
    return b;
  }
  Null() : stream((null(), new_stream(Device::vulkan))), scope(stream) {}
  const std::vector<std::string>& log() { return null().last->log; }
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
}

TEST_F(Null, DevicesHaveNames) {
  EXPECT_EQ(parse_device("vulkan:1"), Device(Device::vulkan, 1));
  EXPECT_EQ(to_string(Device(Device::vulkan, 1)), "vulkan:1");
  for (const char* bad : {"vulkan:2", "cpu:1", "gpu", "cpu:", "cpu:x", "", "cpu:99999999999"})
    EXPECT_THROW(parse_device(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace hearth
