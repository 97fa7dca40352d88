// Creation, scattered updates and searchsorted against NumPy (tools/goldens_create.py).
#include "hearth/ops/create.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "tests/memory_before.h"
#include "tests/ops/layouts.h"
#include "tests/shared.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::row_major_bytes;

// Those of some operations, each of which has some.
std::vector<json> cases(std::initializer_list<const char*> ops) {
  static const json all =
      json::parse(std::ifstream(testing::source_path("tests/data/ops/create.json")));
  std::vector<json> some;
  for (const char* op : ops) {
    const size_t before = some.size();
    for (const json& c : all)
      if (c["op"] == op) some.push_back(c);
    EXPECT_GE(some.size() - before, 3u) << op;
  }
  return some;
}
Shape shape_of(const json& j) {
  const auto v = j.get<std::vector<int>>();
  return {v.begin(), v.end()};
}
array ints(const json& values, const json& shape, Dtype dtype) {
  const auto v = values.get<std::vector<int>>();
  return array(v.begin(), shape_of(shape), dtype);
}
// The golden's numbers as dtype: rounded once.
array wanted(const json& c, Dtype dtype) {
  const auto v = c["out"].get<std::vector<double>>();
  Shape shape = shape_of(c["shape"]);
  array out(v.begin(), shape, float64);
  return astype(out, dtype);
}
void expect_same(const array& got, const array& want) {
  ASSERT_EQ(got.shape(), want.shape());
  ASSERT_EQ(got.dtype(), want.dtype());
  ASSERT_EQ(row_major_bytes(got), row_major_bytes(want)) << got << "\nwanted\n" << want;
}
constexpr Dtype kFloats[] = {float16, bfloat16, float32, float64};
constexpr Dtype kNumbers[] = {uint8, uint16, uint32,  uint64,   int8,    int16,
                              int32, int64,  float16, bfloat16, float32, float64};

TEST(Create, ArangeCountsAsNumPyDoes) {
  for (const json& c : cases({"arange"})) {
    SCOPED_TRACE(c["args"].dump());
    const double start = c["args"]["start"], stop = c["args"]["stop"], step = c["args"]["step"];
    for (Dtype d : kFloats) expect_same(arange(start, stop, step, d), wanted(c, d));
    expect_same(arange(start, stop, step), wanted(c, float32));
    if (!c["args"]["exact"]) continue;
    for (Dtype d : kNumbers) expect_same(arange(start, stop, step, d), wanted(c, d));
    expect_same(arange(int(start), int(stop), int(step)), wanted(c, int32));
  }
  // Integers step by the whole distance of the first two, as NumPy.
  EXPECT_EQ(arange(0.5, 5.5, 1.5, int32).to_vector<int>(), (std::vector<int>{0, 2, 4, 6}));
  EXPECT_EQ(arange(-1.0, 3.0, uint8).to_vector<int>(), (std::vector<int>{255, 0, 1, 2}));
  EXPECT_EQ(arange(0.0, 5.0, INFINITY).to_vector<float>(), std::vector<float>{0});
  EXPECT_EQ(arange(3).dtype(), int32);
  EXPECT_EQ(arange(3.0).dtype(), float32);
  const array large = arange(16777216.0, 16777220.0, int32);
  EXPECT_EQ(large.to_vector<int>()[3], 16777219);  // not through floats
  EXPECT_EQ(arange(0, 200'000).to_vector<int>()[199'999], 199'999);
}

TEST(Create, MatricesOfNothingAreEmpty) {
  EXPECT_EQ(eye(0).shape(), (Shape{0, 0}));
  EXPECT_EQ(eye(0, 3, 1).shape(), (Shape{0, 3}));
  EXPECT_EQ(tri(2, 0, 0, float32).shape(), (Shape{2, 0}));
  EXPECT_THROW(eye(2, -1), std::invalid_argument);
  EXPECT_THROW(tri(-1, 2, 0, float32), std::invalid_argument);
  EXPECT_EQ(hanning(0).size(), 0u);
  EXPECT_EQ(bartlett(1).item<float>(), 1);
  EXPECT_EQ(linspace(2, 3, 0).size(), 0u);
  EXPECT_EQ(linspace(2, 3, 1).item<float>(), 2);
}

TEST(Create, ArangeSaysWhatIsWrong) {
  EXPECT_THROW(arange(0.0, 1.0, 0.0), std::invalid_argument);
  EXPECT_THROW(arange(0.0, INFINITY, 1.0), std::invalid_argument);
  EXPECT_THROW(arange(NAN, 1.0, 1.0), std::invalid_argument);
  EXPECT_THROW(arange(0.0, 1e12, 1.0), std::invalid_argument);
  EXPECT_THROW(arange(0.0, 2.0, bool_), std::invalid_argument);
  EXPECT_THROW(zeros({2, -1}), std::invalid_argument);
  EXPECT_THROW(zeros({1 << 30, 1 << 30}), std::overflow_error);
  EXPECT_THROW(eye(-1), std::invalid_argument);
  EXPECT_THROW(linspace(0, 1, -1), std::invalid_argument);
  EXPECT_THROW(full({2, 2}, array({1.0f, 2.0f, 3.0f})), std::invalid_argument);
}

TEST(Create, LinspaceEndsWhereItShould) {
  for (const json& c : cases({"linspace"})) {
    SCOPED_TRACE(c["args"].dump());
    const auto& a = c["args"];
    for (Dtype d : {float16, bfloat16, float32, float64, int32})
      expect_same(linspace(a["start"], a["stop"], a["num"], bool(a["endpoint"]), d), wanted(c, d));
  }
  EXPECT_EQ(linspace(0, 49).shape(), Shape{50});
}

TEST(Create, ConstantsCostNoMemory) {
  const array ones_ = ones({1 << 20, 1 << 10}, float16);
  const size_t before = memory_before();
  ones_.eval();
  EXPECT_LE(get_active_memory(), before + 4096);
  EXPECT_EQ(float(ones_.data<float16_t>()[0]), 1);
  for (int d = 0; d < kDtypes; ++d) {
    EXPECT_EQ(zeros({2}, Dtype(d)).to_vector<float>(), (std::vector<float>{0, 0}));
    EXPECT_EQ(ones({2}, Dtype(d)).to_vector<float>(), (std::vector<float>{1, 1}));
    EXPECT_EQ(zeros_like(ones({1, 3}, Dtype(d))).dtype(), Dtype(d));
    EXPECT_EQ(full_like(ones({2}, Dtype(d)), array(1.0f)).to_vector<float>(),
              (std::vector<float>{1, 1}));
  }
  EXPECT_EQ(full({2, 2}, array({1.0f, 2.0f})).to_vector<float>(), (std::vector<float>{1, 2, 1, 2}));
  EXPECT_EQ(full({2}, 2.5, int32).to_vector<int>(), (std::vector<int>{2, 2}));
  EXPECT_EQ(zeros({0, 3}).size(), 0u);
}

TEST(Create, OnesLikeAndIdentityHaveTheDtypeAsked) {
  for (int d = 0; d < kDtypes; ++d) {
    const array x = ones_like(zeros({2, 1}, Dtype(d)));
    EXPECT_EQ(x.dtype(), Dtype(d));
    EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 1}));
    expect_same(identity(2, Dtype(d)), array({1, 0, 0, 1}, {2, 2}, Dtype(d)));
  }
  EXPECT_EQ(identity(1).dtype(), float32);
}

TEST(Create, CountsElementsOfAxes) {
  const array x = zeros({2, 3, 5});
  EXPECT_EQ(number_of_elements(x, {0, -1}, false).item<int>(), 10);
  EXPECT_EQ(number_of_elements(x, {}, false).item<int>(), 1);
  EXPECT_EQ(number_of_elements(x, {2}, true, float32).item<float>(), 1 / 5.0f);
  EXPECT_EQ(number_of_elements(zeros({0, 3}), {0, 1}, false, int64).item<int>(), 0);
}

TEST(Create, MatricesAndWindowsAreNumPys) {
  for (const json& c : cases({"eye", "tri", "hanning", "hamming", "bartlett", "blackman"})) {
    SCOPED_TRACE(c.dump());
    const auto& a = c["args"];
    if (c["op"] == "eye" || c["op"] == "tri")
      for (int d = 0; d < kDtypes; ++d)
        expect_same(c["op"] == "eye" ? eye(a["n"], a["m"], a["k"], Dtype(d))
                                     : tri(a["n"], a["m"], a["k"], Dtype(d)),
                    wanted(c, Dtype(d)));
    const std::map<std::string, array (*)(int, StreamOrDevice)> windows{
        {"hanning", hanning}, {"hamming", hamming}, {"bartlett", bartlett}, {"blackman", blackman}};
    const auto window = windows.find(c["op"]);
    if (window == windows.end()) continue;
    const array got = window->second(a["n"], {});
    ASSERT_EQ(got.dtype(), float32);
    const auto want = c["out"].get<std::vector<double>>();
    const auto values = got.to_vector<float>();
    ASSERT_EQ(values.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i)  // one rounding to f32, and f64's cosine
      EXPECT_NEAR(values[i], want[i], 6e-8) << i;
  }
}

TEST(Index, ScatteredUpdatesAddUpForEveryDtype) {
  for (const json& c :
       cases({"scatter_add", "scatter_prod", "scatter_max", "scatter_min", "scatter_add_axis",
              "slice_update_add", "slice_update_prod", "slice_update_max", "slice_update_min"})) {
    const std::string op = c["op"];
    const auto& a = c["args"];
    for (Dtype dtype : kNumbers) {
      SCOPED_TRACE(concat(a.dump(), op, dtype));
      const array updates = ints(a["updates"], a["updates_shape"], dtype);
      for (const auto& [layout, x] : testing::layouts(ints(a["a"], a["shape"], dtype)))
        for (const auto& [also, by] : testing::layouts(updates)) {
          array out = x;
          if (op.starts_with("slice_update_")) {
            const Shape start = shape_of(a["start"]), stop = shape_of(a["stop"]),
                        strides = shape_of(a["strides"]);
            out = op.ends_with("add")    ? slice_update_add(x, by, start, stop, strides)
                  : op.ends_with("prod") ? slice_update_prod(x, by, start, stop, strides)
                  : op.ends_with("max")  ? slice_update_max(x, by, start, stop, strides)
                                         : slice_update_min(x, by, start, stop, strides);
          } else if (op == "scatter_add_axis") {
            out = scatter_add_axis(x, ints(a["places"], a["updates_shape"], int32), by, a["axis"]);
          } else {
            const int axis = a["axis"];
            const array places = ints(a["places"], json::array({a["places"].size()}), int16);
            out = op == "scatter_add"    ? scatter_add(x, places, by, axis)
                  : op == "scatter_prod" ? scatter_prod(x, places, by, axis)
                  : op == "scatter_max"  ? scatter_max(x, places, by, axis)
                                         : scatter_min(x, places, by, axis);
          }
          expect_same(out, wanted(c, dtype));
        }
    }
  }
}

TEST(Index, SearchsortedFindsNumPysPlaces) {
  for (const json& c : cases({"searchsorted"})) {
    const auto& a = c["args"];
    SCOPED_TRACE(a.dump());
    for (Dtype dtype : kNumbers) {
      const array values = ints(a["values"], a["shape"], dtype);
      const array sorted = ints(a["sorted"], json::array({a["sorted"].size()}), dtype);
      for (const auto& [layout, s] : testing::layouts(sorted))
        for (const auto& [also, v] : testing::layouts(values))
          expect_same(searchsorted(s, v, a["side"]), wanted(c, uint32));
    }
  }
  const array sorted({1.0f, 2.0f, INFINITY, NAN, NAN});
  const array values({NAN, INFINITY, -INFINITY, -0.0f});
  EXPECT_EQ(searchsorted(sorted, values).to_vector<int>(), (std::vector<int>{3, 2, 0, 0}));
  EXPECT_EQ(searchsorted(sorted, values, "right").to_vector<int>(), (std::vector<int>{5, 3, 0, 0}));
  const array sums({complex64_t(1, 1), complex64_t(1, 2), complex64_t(2, 0)}, {3});
  EXPECT_EQ(searchsorted(sums, array(complex64_t(1, 2)), "right").item<int>(), 2);
  EXPECT_THROW(searchsorted(ones({2, 2}), array(1.0f)), std::invalid_argument);
  EXPECT_THROW(searchsorted(sorted, values, "middle"), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
