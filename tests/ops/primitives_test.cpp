// Every primitive of the list: its parameters are all in HEARTH_FIELDS, and each of them counts for
// equality, hash and text.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "hearth/backend/plugin.h"
#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth {
namespace {

using namespace fast;

// ---- One of each --------------------------------------------------------------------------------

template <class P>
struct Sample {
  static P* make(void* at) { return new (at) P; }  // P() would write zeros first
};
// Values come from here, so that no compiler writes them together with the padding beside them.
template <class T>
[[gnu::noinline]] T value(T v) {
  asm volatile("" : : "r"(&v) : "memory");
  return v;
}
#define SAMPLE(P, ...)                                           \
  template <>                                                    \
  struct Sample<P> {                                             \
    static P* make(void* at) { return new (at) P(__VA_ARGS__); } \
  };
#define PART(P, ...)                                             \
  template <>                                                    \
  struct Sample<P> {                                             \
    static P* make(void* at) { return new (at) P{__VA_ARGS__}; } \
  };
const SmallVector<int, 6> kAxes{1, 2};
const Shape kShape{3, 4};
const Box kBox{{0, 1}, {1, 2}, {2, 2}};
SAMPLE(Contiguous, value(false))
SAMPLE(Reshape, kShape)
SAMPLE(Transpose, kAxes)
SAMPLE(Broadcast, kShape)
SAMPLE(StaticSlice, kBox)
SAMPLE(AsStrided, kShape, Strides{4, 1}, value(int64_t{2}))
SAMPLE(Reinterpret, value(float32), value(int32))
SAMPLE(Concatenate, value(1))
SAMPLE(SliceUpdate, value(Update::add), kBox)
SAMPLE(DynamicSlice, kAxes, kShape)
SAMPLE(DynamicSliceUpdate, kAxes)
SAMPLE(Arange, value(1.0), value(0.5), value(7), value(float32), value(std::optional(4.0)))
SAMPLE(Gather, kAxes, kShape)
SAMPLE(Scatter, value(Update::prod), kAxes)
SAMPLE(GatherAxis, value(1))
SAMPLE(ScatterAxis, value(Update::assign), value(1))
SAMPLE(SearchSorted, value(false))
SAMPLE(RandomBits, kShape, value(4))
SAMPLE(Reduce, value(Reduce::Kind::sum), kAxes, value(true))
SAMPLE(ArgReduce, value(true), value(1), value(false))
SAMPLE(Scan, value(Scan::Kind::prod), value(1), value(false), value(true))
SAMPLE(Sort, value(1), value(false), value(-1))
SAMPLE(Convolution, std::vector<Sweep>(2), value(1))
SAMPLE(ConvolutionWeight, std::vector<Sweep>(2), value(1), kShape)
SAMPLE(LayerNorm, value(1e-5f), value(true), value(false))
SAMPLE(RMSNorm, value(1e-5f), value(true))
SAMPLE(RoPE, Rotation{8, false, true, 1e4f, 1}, value(false))
SAMPLE(Attention, value(0.5f), value(true), value(false), value(false))
SAMPLE(CachedAttention,
       AttentionForm{.scale = 0.5f, .softcap = 2, .window = 8, .rotation = {.dims = 8}})
SAMPLE(Linear, {{Activation::silu, true, false}, {Activation::none, false, true}}, value(true),
       Linear::Norm{1e-5f, false, true, true})
SAMPLE(LinearSum, {{true}, {false, Packing::q4_0}}, value(true))
SAMPLE(Quantize, value(Packing::mxfp4))
SAMPLE(Dequantize, value(Packing::q4_0), value(float32))
SAMPLE(ExpertLinear, {{Activation::silu, true, false}, {Activation::none, false, false}})
SAMPLE(CausalConv, value(Activation::silu), value(true), value(false))
SAMPLE(GatedDelta, value(true))
template <>
struct Sample<Map> {
  static Map* make(void* at) {
    Map* map = new (at) Map;
    map->inputs = {float32, float16};
    map->constants.push_back(Map::Constant(2.5f));
    map->results = {map->add({ElementOp::astype, float32, {1}})};
    map->results.push_back(map->add({ElementOp::add, float32, {0, 3}}));
    return map;
  }
};
PART(Box, kShape, kShape, kShape)
PART(Sweep, value(1), value(2), value(3), value(4), value(5))
PART(Rotation, value(8), value(false), value(true), value(1e4f), value(2.0f), value(3.0f))
PART(AttentionForm, value(0.5f), value(2.0f), value(8), value(true), value(false), value(4),
     value(true),
     Rotation{value(8), value(false), value(true), value(1e4f), value(2.0f), value(3.0f)})
PART(Linear::Part, value(Activation::silu), value(true), value(false), value(Packing::q4_0))
PART(LinearSum::Term, value(true), value(Packing::q4_0))
PART(Linear::Norm, value(1e-5f), value(true), value(true), value(true))
PART(Map::Step, value(ElementOp::add), value(float32), value(std::array<uint8_t, 3>{1, 2, 0}))
PART(Map::Constant, Map::Constant(value(2.5f)))
#undef SAMPLE
#undef PART

// ---- Each change of one value -------------------------------------------------------------------

// Calls f after each change of one value in v, and takes it back.
template <class T, class F>
void each_change(T& v, F&& f) {
  const auto with = [&](auto&& now) {  // of T, in a template: primitives have no assignment
    auto& value = static_cast<std::remove_cvref_t<decltype(now)>&>(v);
    const auto before = value;
    value = now;
    f();
    value = before;
  };
  if constexpr (HasFields<T>) {
    v.fields([&](const char*, auto& field) { each_change(field, f); });
  } else if constexpr (std::is_same_v<T, bool>) {
    with(!v);
  } else if constexpr (std::is_enum_v<T>) {
    with(T(int(v) ^ 1));
  } else if constexpr (std::is_integral_v<T>) {
    with(T(v + 1));
  } else if constexpr (std::is_floating_point_v<T>) {
    for (T now : {std::nextafter(v, T(100)), T(0), T(-0.0), std::numeric_limits<T>::quiet_NaN()})
      with(now);
  } else if constexpr (detail::is_optional<T>) {
    if (v) each_change(*v, f);
    with(v ? T() : T(typename T::value_type{}));
  } else {
    static_assert(detail::List<T>);
    if constexpr (requires { v.push_back(v[0]); }) {
      ASSERT_GT(v.size(), 0u) << "a sample has something in each of its lists";
      v.push_back(v[0]), f(), v.pop_back();
    }
    for (size_t i = 0; i < v.size(); ++i) {
      typename T::value_type element = v[i];
      const typename T::value_type before = element;
      each_change(element, [&] { v[i] = element, f(), v[i] = before; });
    }
  }
}

struct None : OwnOp<None> {  // ends the list
  HEARTH_FIELDS()
  std::string_view name() const override { return "none"; }
  Specs infer(std::span<const array>) const override { return {}; }
};
template <class P>
class PrimitivesTest : public testing::Test {};
using All = testing::Types<
#define X(name) name,
    HEARTH_PRIMITIVES(X)
#undef X
        None>;
TYPED_TEST_SUITE(PrimitivesTest, All);

TYPED_TEST(PrimitivesTest, EveryParameterCounts) {
  alignas(TypeParam) std::byte memory[2][sizeof(TypeParam)];
  TypeParam &a = *Sample<TypeParam>::make(memory[0]), &b = *Sample<TypeParam>::make(memory[1]);
  const auto expect_same = [&] {
    EXPECT_TRUE(a.same_as(b) && b.same_as(a)) << a.parameters() << "; " << b.parameters();
    EXPECT_EQ(a.hash(), b.hash());
    EXPECT_EQ(a.parameters(), b.parameters());
  };
  expect_same();
  int changes = 0;
  std::set<std::string> texts{a.parameters()};
  each_change(b, [&] {
    ++changes;
    EXPECT_FALSE(a.same_as(b) || b.same_as(a)) << a.parameters() << "; " << b.parameters();
    EXPECT_TRUE(b.same_as(b));  // NaN too
    EXPECT_NE(a.hash(), b.hash()) << a.parameters() << "; " << b.parameters();
    texts.insert(b.parameters());
  });
  EXPECT_EQ(texts.size(), size_t(changes) + 1) << a.parameters();
  EXPECT_EQ(changes == 0, std::string_view(TypeParam::field_names()).empty());
  expect_same();
  EXPECT_EQ(a.same_as(StopGradient()), (std::is_same_v<TypeParam, StopGradient>));
  a.~TypeParam(), b.~TypeParam();
}

// ---- What is not listed -------------------------------------------------------------------------

// The bytes that a constructor writes and no field covers: members that HEARTH_FIELDS leaves out.
template <class T>
std::vector<size_t> unlisted() {
  alignas(T) std::byte memory[sizeof(T)];
  std::vector<bool> listed(sizeof memory, false);
  std::vector<int> kept(sizeof memory, 0);  // how often what was there before is there after
  for (int fill : {0x55, 0xaa}) {
    std::memset(memory, fill, sizeof memory);
    void* at = memory;
    asm volatile("" : "+r"(at) : : "memory");
    T* object = Sample<T>::make(at);
    asm volatile("" : "+r"(at) : : "memory");
    for (size_t i = 0; i < sizeof memory; ++i) kept[i] += memory[i] == std::byte(fill);
    const auto cover = [&](const void* from, size_t size) {
      const auto first = size_t(static_cast<const std::byte*>(from) - memory);
      for (size_t i = 0; i < size; ++i) listed[first + i] = true;
    };
    if constexpr (std::is_base_of_v<Primitive, T>) {
      cover(memory, sizeof(void*));  // the virtual table
      cover(&object->id, sizeof object->id);
    }
    object->fields([&](const char*, const auto& field) { cover(&field, sizeof field); });
    object->~T();
  }
  std::vector<size_t> out;
  for (size_t i = 0; i < sizeof memory; ++i)
    if (!listed[i] && kept[i] < 2) out.push_back(i);
  return out;
}

TYPED_TEST(PrimitivesTest, EveryMemberIsListed) {
  EXPECT_EQ(unlisted<TypeParam>(), std::vector<size_t>());
}
TEST(PrimitiveFields, MembersOfNestedStructsAreListed) {
  EXPECT_EQ(unlisted<Box>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Sweep>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Rotation>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<AttentionForm>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Linear::Part>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<LinearSum::Term>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Linear::Norm>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Map::Step>(), std::vector<size_t>());
  EXPECT_EQ(unlisted<Map::Constant>(), std::vector<size_t>());
}

struct Hides : OwnOp<Hides> {
  int axis = value(1);
  bool largest = value(false);
  bool forgotten = value(true);
  HEARTH_FIELDS(axis, largest)
  std::string_view name() const override { return "hides"; }
  Specs infer(std::span<const array>) const override { return {}; }
};
TEST(PrimitiveFields, AMemberThatIsNotListedIsFound) {
  EXPECT_EQ(unlisted<Hides>().size(), sizeof(bool));
  EXPECT_EQ(Hides().parameters(), "axis=1, largest=false");
}

// ---- The plug-ins' number -----------------------------------------------------------------------

struct OneInt {
  int a;
  HEARTH_FIELDS(a)
};
struct Renamed {
  int b;
  HEARTH_FIELDS(b)
};
struct Retyped {
  float a;
  HEARTH_FIELDS(a)
};
struct Longer {
  int a, b;
  HEARTH_FIELDS(a, b)
};
struct Turned {
  int b, a;
  HEARTH_FIELDS(b, a)
};
struct Nested {
  std::vector<OneInt> a;
  HEARTH_FIELDS(a)
};
struct NestedRenamed {
  std::vector<Renamed> a;
  HEARTH_FIELDS(a)
};
TEST(PluginAbi, FollowsFromTheFields) {
  const std::set<uint64_t> all{
      layout_of<OneInt>(), layout_of<Renamed>(), layout_of<Retyped>(),       layout_of<Longer>(),
      layout_of<Turned>(), layout_of<Nested>(),  layout_of<NestedRenamed>(), kAbi};
  EXPECT_EQ(all.size(), 8u);
}

TEST(OwnPrimitive, HasTheNextId) {
  EXPECT_GE(Hides::kernel_id(), int(primitive_id::count));
  EXPECT_EQ(Hides().id, Hides::kernel_id());
}

}  // namespace
}  // namespace hearth
