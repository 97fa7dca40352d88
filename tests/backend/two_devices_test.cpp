// One graph over two devices and the host, whose memories are apart: where arrays live, what is
// copied when, and what is stale.
#include <random>

#include "hearth/core/allocate.h"
#include "hearth/ops/ops.h"
#include "tests/backend/null_backend.h"
#include "tests/memory_before.h"

namespace hearth {
namespace {

using namespace testing;
using Floats = std::vector<float>;

const Device kFirst(Device::vulkan, 0), kSecond(Device::vulkan, 1), kCpu(Device::cpu);

class TwoDevices : public ::testing::Test {
 protected:
  TwoDevices() { null_backend(); }
  void TearDown() override {
    for (int i : {0, 1}) {  // nothing of what a test used stays behind
      synchronize(default_stream({Device::vulkan, i}));
      EXPECT_EQ(null_memory(i).active(), 0u) << "device " << i;
    }
  }
};

Storage& storage(const array& a) { return *a.node().storage; }
// {value, value + 1}, which lives on `device`.
array state_on(Device device, float value) {
  const array state = plus_one(device, {array({value - 1, value})});
  state.eval();
  return state;
}

TEST_F(TwoDevices, EachResultLivesWhereItWasMade) {
  const array a = plus_one(kFirst, {array({1.0f, 2.0f})});
  const array b = plus_one(kSecond, {a}), c = plus_one(kFirst, {a, b}), d = plus_one(kCpu, {c, b});
  EXPECT_EQ(d.to_vector<float>(), (Floats{3 + 6 + 1, 4 + 8 + 1}));
  EXPECT_EQ(storage(a).owner->device(), kFirst);
  EXPECT_EQ(storage(b).owner->device(), kSecond);
  EXPECT_EQ(storage(c).owner->device(), kFirst);
  EXPECT_EQ(storage(d).owner->device(), kCpu);
  EXPECT_EQ(storage(a).copies.size(), 2u);  // the second device's, and the host's on the way there
  EXPECT_EQ(a.to_vector<float>(), (Floats{2, 3}));
  EXPECT_EQ(storage(a).copies.size(), 2u);
}

TEST_F(TwoDevices, EitherMayBeTheDefault) {
  const Device before = default_device();
  for (Device device : {kSecond, kFirst, kCpu}) {
    set_default_device(device);
    EXPECT_EQ(default_device(), device);
    EXPECT_EQ(ambient_stream(), default_stream(device));
    EXPECT_EQ(storage(state_on(ambient_stream().device, 1)).owner->device(), device);
  }
  set_default_device(before);
  EXPECT_NE(new_stream(kFirst), new_stream(kSecond));
  EXPECT_EQ(default_stream(kSecond).device, kSecond);
}

TEST_F(TwoDevices, ReadingTwiceCopiesOnce) {
  const array a = state_on(kFirst, 5);
  const size_t before = null_memory(1).active();
  plus_one(kSecond, {a}).eval();
  const size_t after = null_memory(1).active();
  EXPECT_GT(after, before);
  plus_one(kSecond, {a}).eval();
  EXPECT_EQ(null_memory(1).active(), after);
}

TEST_F(TwoDevices, StateIsTheSameWhereverItIsWrittenAndRead) {
  std::mt19937 random(1);
  const Device devices[] = {kCpu, kFirst, kSecond};
  array state = state_on(kFirst, -1);
  float value = 0;
  for (int i = 0; i < 300; ++i) {
    const Device device = devices[random() % 3];
    if (random() % 2) {
      value = float(i);
      state = assign(state, array({value - 1, value}), device);
      state.eval();
      ASSERT_EQ(storage(state).owner->device(), device) << i;
      ASSERT_TRUE(storage(state).copies.empty()) << i;  // what others had is stale
    } else {
      ASSERT_EQ(plus_one(device, {state}).to_vector<float>(), (Floats{value, value + 1})) << i;
      ASSERT_LE(storage(state).copies.size(), 2u) << i;
    }
  }
}

TEST_F(TwoDevices, ReadersBeforeAWriteSeeWhatWasBeforeIt) {
  for (Device writer : {kCpu, kFirst, kSecond})
    for (Device reader : {kCpu, kFirst, kSecond}) {
      const array state = state_on(kFirst, 5);
      const array before = plus_one(reader, {state});
      before.eval();
      const array written = assign(state, array({7.0f, 8.0f}), writer);
      const array after = plus_one(reader, {written});
      EXPECT_EQ(after.to_vector<float>(), (Floats{8, 9}));
      EXPECT_EQ(before.to_vector<float>(), (Floats{6, 7}));
      EXPECT_EQ(state.to_vector<float>(), (Floats{7, 8}));  // one storage, whatever the handle
    }
}

TEST_F(TwoDevices, ForeignMemoryIsReadEverywhereAndWrittenNowhere) {
  Floats mine{1, 2};
  for (Device device : {kCpu, kFirst}) {
    const array x(mine.data(), {2}, float32, [](void*) {});
    EXPECT_EQ(plus_one(kFirst, {x}).to_vector<float>(), (Floats{2, 3}));
    EXPECT_EQ(x.data<float>(), mine.data());
    try {
      assign(x, array({5.0f, 6.0f}), device).eval();
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "write in place: the memory is foreign; copy it first");
    }
  }
  EXPECT_EQ(mine, (Floats{1, 2}));
}

TEST_F(TwoDevices, PlaceMovesWhatIsOursAndCopiesWhatIsForeign) {
  Floats mine{3, 4};
  const array ours = plus_one(kCpu, {array({0.0f, 1.0f})});
  const array foreign(mine.data(), {2}, float32, [](void*) {});
  const Arrays both{ours, foreign};
  eval(both);
  const size_t host = memory_before();
  place(both, kSecond);
  EXPECT_EQ(get_active_memory(), host - 64);  // given up here
  EXPECT_EQ(storage(ours).owner->device(), kSecond);
  EXPECT_EQ(storage(foreign).owner, nullptr);
  EXPECT_EQ(null_memory(1).active(), 128u);
  EXPECT_EQ(plus_one(kSecond, both).to_vector<float>(), (Floats{5, 7}));
  EXPECT_EQ(ours.to_vector<float>(), (Floats{1, 2}));
  place(both, kSecond);  // they are there
  EXPECT_EQ(foreign.data<float>(), mine.data());
}

TEST_F(TwoDevices, JoinedPartsAreViewsOfTheDevicesMemory) {
  array a({1.0f, 2.0f, 3.0f, 4.0f}, {2, 2}), b = plus_one(kFirst, {array({4.0f, 5.0f}, {1, 2})});
  array* const parts[] = {&a, &b};
  const array whole = place_joined(parts, kSecond);
  EXPECT_EQ(storage(whole).owner->device(), kSecond);
  EXPECT_EQ(a.node().storage, whole.node().storage);
  EXPECT_EQ(b.node().offset, 4);
  EXPECT_EQ(plus_one(kSecond, {b}).to_vector<float>(), (Floats{6, 7}));
  EXPECT_EQ(whole.to_vector<float>(), (Floats{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(uninitialized({3}, float32, default_stream(kFirst)).node().storage->owner->device(),
            kFirst);
}

TEST_F(TwoDevices, DonatesOnlyMemoryOfItsOwn) {
  for (Device from : {kCpu, kFirst, kSecond})
    for (Device to : {kCpu, kFirst, kSecond}) {
      array x = state_on(from, 5);
      const array seen = plus_one(kSecond, {x});  // another copy
      seen.eval();
      const void* before = storage(x).buffer.data;
      const array y = plus_one(to, {std::move(x)});
      x = array(0.0f);
      EXPECT_EQ(y.to_vector<float>(), (Floats{6, 7}));
      EXPECT_EQ(storage(y).owner->device(), to);
      EXPECT_EQ(storage(y).buffer.data == before, from == to);
    }
}

TEST_F(TwoDevices, ARecordingReadsAnewWhatOthersWroteElsewhere) {
  for (Device home : {kCpu, kFirst, kSecond})
    for (Device runs : {kCpu, kFirst, kSecond}) {
      const array input = state_on(home, 2), state = state_on(home, 10);
      const array y = plus_one(runs, {input});
      const array after = assign(state, plus_one(runs, {state, input}), runs);
      Recording r({y, after});
      for (Device writer : {kFirst, kCpu, kSecond}) {
        assign(input, array({4.0f, 5.0f}), writer).eval();
        assign(state, array({0.0f, 1.0f}), writer).eval();
        r.run();
        synchronize(default_stream(runs));
        EXPECT_EQ(copy(y, kCpu).to_vector<float>(), (Floats{5, 6}));
        EXPECT_EQ(plus_one(kSecond, {state}).to_vector<float>(), (Floats{6, 8}));
        EXPECT_EQ(storage(state).owner->device(), runs);
      }
    }
}

}  // namespace
}  // namespace hearth
