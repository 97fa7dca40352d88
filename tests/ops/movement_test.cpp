// Movement and indexing: every dtype and layout against NumPy's maps of places
// (tools/goldens_movement.py).
#include "hearth/ops/movement.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "hearth/ops/create.h"
#include "hearth/ops/elementwise.h"
#include "hearth/ops/index.h"
#include "tests/ops/layouts.h"
#include "tests/shared.h"

namespace hearth {
namespace {

using nlohmann::json;
using testing::from_bytes;
using testing::row_major_bytes;

// Element number i of an operand, in bytes; -1 is zero. Unlike its neighbours in every dtype.
std::string element(int i, Dtype dtype) {
  std::string bytes(size_of(dtype), '\0');
  if (i < 0) return bytes;
  visit(AllTypes{}, dtype, "element", [&]<class T>() {
    T value;
    if constexpr (std::is_same_v<T, bool>)
      value = i % 3 == 1;
    else if constexpr (std::is_same_v<T, complex64_t>)
      value = {float(i) - 3, float(2 * i)};
    else
      value = convert<T>(i % 1000 + (i >= 1000 ? 121 : 1));
    std::memcpy(bytes.data(), &value, sizeof(T));
  });
  return bytes;
}
std::string elements(std::span<const int> places, Dtype dtype) {
  std::string bytes;
  for (int i : places) bytes += element(i, dtype);
  return bytes;
}
array counted(const Shape& shape, Dtype dtype, int first = 0) {
  std::vector<int> places(element_count(shape));
  std::iota(places.begin(), places.end(), first);
  return from_bytes(elements(places, dtype), shape, dtype);
}

Shape shape_of(const json& j) {
  const auto v = j.get<std::vector<int>>();
  return {v.begin(), v.end()};
}
std::vector<int> ints(const json& j) { return j.get<std::vector<int>>(); }

array flat_ints(const json& j, const json& shape) {
  std::vector<int> values;
  const std::function<void(const json&)> collect = [&](const json& v) {
    if (!v.is_array()) return values.push_back(v.get<int>());
    for (const json& e : v) collect(e);
  };
  collect(j);
  return array(values.begin(), shape_of(shape));
}
Arrays index_arrays(const json& a) {
  Arrays out;
  for (size_t i = 0; i < a["axes"].size(); ++i)
    out.push_back(flat_ints(a["indices"][i], a["places"][i]));
  return out;
}
array update_of(const array& x, const json& a) {
  return counted(shape_of(a["update"]), x.dtype(), 1000);
}

using Call = std::function<Arrays(const array& x, const json& a)>;
const std::map<std::string, Call>& operations() {
  auto three = [](const array& x) { return Arrays{x, counted(x.shape(), x.dtype(), 1000), x}; };
  static const std::map<std::string, Call> all{
      {"reshape", [](auto& x, auto& a) -> Arrays { return {reshape(x, shape_of(a["to"]))}; }},
      {"flatten", [](auto& x, auto& a) -> Arrays { return {flatten(x, a["start"], a["end"])}; }},
      {"unflatten",
       [](auto& x, auto& a) -> Arrays { return {unflatten(x, a["axis"], shape_of(a["to"]))}; }},
      {"squeeze", [](auto& x, auto& a) -> Arrays { return {squeeze(x, ints(a["axes"]))}; }},
      {"expand_dims", [](auto& x, auto& a) -> Arrays { return {expand_dims(x, ints(a["axes"]))}; }},
      {"atleast",
       [](auto& x, auto&) -> Arrays {
         return {atleast_1d(x), atleast_2d(x), atleast_3d(x)};
       }},
      {"transpose", [](auto& x, auto& a) -> Arrays { return {transpose(x, ints(a["axes"]))}; }},
      {"swapaxes", [](auto& x, auto& a) -> Arrays { return {swapaxes(x, a["a"], a["b"])}; }},
      {"moveaxis", [](auto& x, auto& a) -> Arrays { return {moveaxis(x, a["a"], a["b"])}; }},
      {"broadcast_to",
       [](auto& x, auto& a) -> Arrays { return {broadcast_to(x, shape_of(a["to"]))}; }},
      {"flip", [](auto& x, auto& a) -> Arrays { return {flip(x, ints(a["axes"]))}; }},
      {"as_strided",
       [](auto& x, auto& a) -> Arrays {
         const auto strides = a["strides"].template get<std::vector<int64_t>>();
         return {as_strided(x, shape_of(a["to"]), Strides(strides.begin(), strides.end()),
                            a["offset"].template get<size_t>())};
       }},
      {"roll",
       [](auto& x, auto& a) -> Arrays {
         const Shape shift = shape_of(a["shift"]);
         if (a["axes"].empty()) return {roll(x, shift)};
         return {roll(x, shift, ints(a["axes"]))};
       }},
      {"pad",
       [](auto& x, auto& a) -> Arrays {
         const auto width = a["width"].template get<std::vector<std::pair<int, int>>>();
         return {pad(x, width, array(0), a["mode"])};
       }},
      {"tile", [](auto& x, auto& a) -> Arrays { return {tile(x, ints(a["reps"]))}; }},
      {"repeat",
       [](auto& x, auto& a) -> Arrays {
         if (a["axis"].is_array()) return {repeat(x, int(a["repeats"]))};
         return {repeat(x, int(a["repeats"]), int(a["axis"]))};
       }},
      {"stack", [=](auto& x, auto& a) -> Arrays { return {stack(three(x), int(a["axis"]))}; }},
      {"concatenate",
       [=](auto& x, auto& a) -> Arrays { return {concatenate(three(x), int(a["axis"]))}; }},
      {"unstack", [](auto& x, auto& a) -> Arrays { return unstack(x, int(a["axis"])); }},
      {"split", [](auto& x, auto& a) { return split(x, int(a["parts"]), int(a["axis"])); }},
      {"split_at", [](auto& x, auto& a) { return split(x, shape_of(a["at"]), int(a["axis"])); }},
      {"slice",
       [](auto& x, auto& a) -> Arrays {
         return {slice(x, shape_of(a["start"]), shape_of(a["stop"]), shape_of(a["strides"]))};
       }},
      {"slice_update",
       [](auto& x, auto& a) -> Arrays {
         return {slice_update(x, update_of(x, a), shape_of(a["start"]), shape_of(a["stop"]),
                              shape_of(a["strides"]))};
       }},
      {"dynamic_slice",
       [](auto& x, auto& a) -> Arrays {
         const auto start = ints(a["start"]);
         return {slice(x, array(start.begin(), {int(start.size())}), ints(a["axes"]),
                       shape_of(a["size"]))};
       }},
      {"dynamic_slice_update",
       [](auto& x, auto& a) -> Arrays {
         const auto start = ints(a["start"]);
         return {slice_update(x, update_of(x, a), array(start.begin(), {int(start.size())}, uint8),
                              ints(a["axes"]))};
       }},
      {"diag", [](auto& x, auto& a) -> Arrays { return {diag(x, a["k"])}; }},
      {"diagonal",
       [](auto& x, auto& a) -> Arrays { return {diagonal(x, a["k"], a["a"], a["b"])}; }},
      {"tril", [](auto& x, auto& a) -> Arrays { return {tril(x, a["k"])}; }},
      {"triu", [](auto& x, auto& a) -> Arrays { return {triu(x, a["k"])}; }},
      {"meshgrid",
       [=](auto& x, auto& a) { return meshgrid(three(x), a["sparse"], a["indexing"]); }},
      {"take",
       [](auto& x, auto& a) -> Arrays {
         const array at = flat_ints(a["indices"], a["places"]);
         if (a["axis"].is_array()) return {take(x, at)};
         return {take(x, at, int(a["axis"]))};
       }},
      {"take_along_axis",
       [](auto& x, auto& a) -> Arrays {
         return {take_along_axis(x, flat_ints(a["indices"], a["places"]), a["axis"])};
       }},
      {"put_along_axis",
       [](auto& x, auto& a) -> Arrays {
         return {
             put_along_axis(x, flat_ints(a["indices"], a["places"]), update_of(x, a), a["axis"])};
       }},
      {"gather",
       [](auto& x, auto& a) -> Arrays {
         return {gather(x, index_arrays(a), ints(a["axes"]), shape_of(a["sizes"]))};
       }},
      {"scatter",
       [](auto& x, auto& a) -> Arrays {
         return {scatter(x, index_arrays(a), update_of(x, a), ints(a["axes"]))};
       }},
      {"masked_scatter",
       [](auto& x, auto& a) -> Arrays {
         return {masked_scatter(x, view(astype(flat_ints(a["mask"], a["places"]), uint8), bool_),
                                update_of(x, a))};
       }},
  };
  return all;
}

TEST(Movement, PutsElementsWhereNumPyPutsThemForEveryDtypeAndLayout) {
  const json cases =
      json::parse(std::ifstream(testing::source_path("tests/data/ops/movement.json")));
  ASSERT_GT(cases.size(), 200u);
  std::set<std::string> ran;
  for (const json& c : cases) {
    ran.insert(c["op"]);
    const Call& run = operations().at(c["op"]);
    for (int d = 0; d < kDtypes; ++d) {
      const auto dtype = Dtype(d);
      for (const auto& [layout, x] : testing::layouts(counted(shape_of(c["shape"]), dtype))) {
        SCOPED_TRACE(concat(std::string(c["op"]), " ", c["args"].dump(), " on ", dtype, " ",
                            x.shape(), " ", layout));
        const Arrays out = run(x, c["args"]);
        ASSERT_EQ(out.size(), c["out"].size());
        for (size_t i = 0; i < out.size(); ++i) {
          const json& wanted = c["out"][i];
          ASSERT_EQ(out[i].shape(), shape_of(wanted["shape"]));
          ASSERT_EQ(out[i].dtype(), dtype);
          ASSERT_EQ(row_major_bytes(out[i]), elements(ints(wanted["at"]), dtype));
        }
      }
    }
  }
  EXPECT_EQ(ran.size(), operations().size());
}

}  // namespace
}  // namespace hearth
