// Reductions, scans, sorting, softmax and small compositions against NumPy
// (tools/goldens_reduce.py), in every dtype and layout.
#include "hearth/ops/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hearth/ops/ops.h"
#include "tests/shared.h"

namespace hearth {
namespace {

Dtype dtype_named(const std::string& name) {
  for (int d = 0; d < kDtypes; ++d)
    if (to_string(Dtype(d)) == name) return Dtype(d);
  throw std::runtime_error("no dtype " + name);
}

/// "f32(2,3):0000803f..." as an array.
array decode(const std::string& text) {
  const size_t open = text.find('('), close = text.find(')');
  const Dtype dtype = dtype_named(text.substr(0, open));
  Shape shape;
  std::istringstream sizes(text.substr(open + 1, close - open - 1));
  for (std::string size; std::getline(sizes, size, ',');) shape.push_back(std::stoi(size));
  auto* data = new std::vector<std::byte>;
  for (size_t i = close + 2; i + 1 < text.size(); i += 2)
    data->push_back(std::byte(std::stoi(text.substr(i, 2), nullptr, 16)));
  return array(data->data(), shape, dtype, [data](void*) { delete data; });
}

/// The same values, lying in memory in different ways.
std::vector<std::pair<const char*, array>> layouts(const array& x) {
  Shape wider = x.shape(), start(x.shape().size(), 1);
  for (auto& size : wider) size += 2;
  Shape stop = wider;
  for (auto& size : stop) size -= 1;
  const array middle = slice_update(zeros(wider, x.dtype()), x, start, stop);
  // One byte past an aligned address, as in a mapped file.
  auto* data = new std::vector<std::byte>(x.nbytes() + 1);
  std::memcpy(data->data() + 1, x.host_bytes(), x.nbytes());
  const array odd(data->data() + 1, x.shape(), x.dtype(), [data](void*) { delete data; });
  return {{"contiguous", x},
          {"transposed", transpose(contiguous(transpose(x)))},
          {"sliced", slice(middle, start, stop)},
          {"backwards", flip(contiguous(flip(x)))},
          {"unaligned", odd}};
}

struct Call {
  std::vector<int> axes;  // or numbers
  bool every = false, keep = false, reverse = false, inclusive = true, nan = false;
  int ddof = 0;
};
using Function = std::function<array(const array&, const Call&)>;

/// Both sides of the kth along the axis sorted, each for itself.
array sort_parts(const array& x, int kth, int axis) {
  Arrays parts;
  for (const array& part : split(x, Shape{kth, kth + 1}, axis))
    parts.push_back(part.size() > 0 ? sort(part, axis) : part);
  return concatenate(parts, axis);
}

// clang-format off
#define REDUCTION(name)                                         \
  {#name, [](const array& x, const Call& c) {                   \
     if (c.every) return name(x, c.keep);                       \
     if (c.axes.size() == 1) return name(x, c.axes[0], c.keep); \
     return name(x, c.axes, c.keep);                            \
   }}
#define DEVIATION(name)                                                              \
  {#name, [](const array& x, const Call& c) {                                        \
     return c.every ? name(x, c.keep, c.ddof) : name(x, c.axes, c.keep, c.ddof);     \
   }}
#define ARG(name)                                                   \
  {#name, [](const array& x, const Call& c) {                       \
     return c.every ? name(x, c.keep) : name(x, c.axes[0], c.keep); \
   }}
#define SCAN(name) \
  {#name, [](const array& x, const Call& c) { return name(x, c.axes[0], c.reverse, c.inclusive); }}
#define SORT(name) \
  {#name, [](const array& x, const Call& c) { return c.every ? name(x) : name(x, c.axes[0]); }}
const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> known = {
      REDUCTION(sum), REDUCTION(prod), REDUCTION(mean), REDUCTION(max), REDUCTION(min),
      REDUCTION(all), REDUCTION(any), REDUCTION(count_nonzero), REDUCTION(logsumexp),
      REDUCTION(median), DEVIATION(var), DEVIATION(std), ARG(argmax), ARG(argmin),
      SCAN(cumsum), SCAN(cumprod), SCAN(cummax), SCAN(cummin), SCAN(logcumsumexp),
      SORT(sort), SORT(argsort),
      {"isclose", [](const array& x, const Call& c) {
         return isclose(x, flip(x, c.axes[0]), 1e-5, 1e-8, c.nan);
       }},
      {"allclose", [](const array& x, const Call& c) { return allclose(x, x, 1e-5, 1e-8, c.nan); }},
      {"array_equal", [](const array& x, const Call& c) { return array_equal(x, x, c.nan); }},
      {"round", [](const array& x, const Call& c) { return round(x, c.axes[0]); }},
      {"clip", [](const array& x, const Call& c) {
         return clip(x, array(c.axes[0], x.dtype()), array(c.axes[1], x.dtype()));
       }},
      {"floor_of_divmod", [](const array& x, const Call& c) {
         return divmod(x, array(c.axes[0], x.dtype()))[0];
       }},
      {"rest_of_divmod", [](const array& x, const Call& c) {
         return divmod(x, array(c.axes[0], x.dtype()))[1];
       }},
      {"nan_to_num", [](const array& x, const Call& c) {
         return c.axes[0] ? nan_to_num(x, float(c.axes[0]), 8.0f, 9.0f) : nan_to_num(x);
       }},
      // The order within a part is open: sorted, it is the sorted whole.
      {"partition", [](const array& x, const Call& c) {
         return sort_parts(partition(x, c.axes[0], c.axes[1]), c.axes[0], c.axes[1]);
       }},
      {"argpartition", [](const array& x, const Call& c) {
         const array places = argpartition(x, c.axes[0], c.axes[1]);
         return sort_parts(take_along_axis(x, places, c.axes[1]), c.axes[0], c.axes[1]);
       }},
      {"topk", [](const array& x, const Call& c) {
         return sort(topk(x, c.axes[0], c.axes[1]), c.axes[1]);
       }},
      {"trace", [](const array& x, const Call& c) {
         return c.axes.empty() ? trace(x) : trace(x, c.axes[0], c.axes[1], c.axes[2]);
       }},
      {"diff", [](const array& x, const Call& c) { return diff(x, c.axes[0], c.axes[1]); }},
      {"softmax", [](const array& x, const Call& c) {
         if (c.every) return softmax(x);
         return c.axes.size() == 1 ? softmax(x, c.axes[0]) : softmax(x, c.axes);
       }}};
  return known;
}
// clang-format on
#undef REDUCTION
#undef DEVIATION
#undef ARG
#undef SCAN
#undef SORT

/// "sum 0,2 keep": the function's name and its arguments.
std::pair<std::string, Call> parse(const std::string& text) {
  std::istringstream words(text);
  std::string name, word;
  words >> name;
  Call call;
  while (words >> word) {
    call.every = call.every || word == "all";
    call.keep = call.keep || word == "keep";
    call.reverse = call.reverse || word == "reverse";
    call.nan = call.nan || word == "nan";
    call.inclusive = call.inclusive && word != "exclusive";
    if (word.starts_with("ddof=")) call.ddof = std::stoi(word.substr(5));
    if (word[0] != '-' && !std::isdigit(word[0])) continue;
    std::istringstream numbers(word);
    for (std::string n; std::getline(numbers, n, ',');) call.axes.push_back(std::stoi(n));
  }
  return {name, call};
}

/// What rounding may cost: half a unit in the last place of halves, some units of f32 and f64 (24
/// operations); two roundings of a half for diff.
double tolerance(const std::string& name, Dtype dtype) {
  for (const char* exact : {"max", "min", "all", "any", "argmax", "argmin", "cummax", "cummin",
                            "sort", "argsort", "count_nonzero", "partition", "argpartition", "topk",
                            "clip", "nan_to_num", "floor_of_divmod", "rest_of_divmod"})
    if (name == exact) return 0;
  switch (dtype) {
    case float16: return name == "diff" ? 2e-3 : 6e-4;
    case bfloat16: return name == "diff" ? 1.6e-2 : 4e-3;
    case float32:
    case complex64: return 2e-6;
    case float64: return 1e-14;
    default: return 0;
  }
}

template <class T>
bool close(T got, T want, double tolerance) {
  if constexpr (std::is_same_v<T, complex64_t>) {
    const auto is_nan = [](T v) { return std::isnan(v.real()) || std::isnan(v.imag()); };
    if (is_nan(want)) return is_nan(got);
    return got == want || std::abs(got - want) <= tolerance * (20 + std::abs(want));
  } else if constexpr (is_half<T>) {
    return close(float(got), float(want), tolerance);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(want)) return std::isnan(got);
    if (got == want) return true;
    // Sums of 24 values up to 8 may cancel: the error is relative to what was added.
    return std::abs(double(got) - double(want)) <= tolerance * (20 + std::abs(double(want)));
  } else {
    return got == want;
  }
}

/// Empty if equal within the tolerance; else where not.
std::string difference(const array& got, const array& want, double tolerance) {
  if (got.shape() != want.shape() || got.dtype() != want.dtype())
    return concat("got ", got.dtype(), " ", got.shape(), ", wanted ", want.dtype(), " ",
                  want.shape());
  std::ostringstream text;
  visit(AllTypes{}, want.dtype(), "difference", [&]<class T>() {
    const auto g = got.to_vector<T>(), w = want.to_vector<T>();
    for (size_t i = 0; i < g.size(); ++i)
      if (!close<T>(g[i], w[i], tolerance)) text << "element " << i << "; ";
  });
  if (!text.str().empty()) text << "got " << got << " wanted " << want;
  return text.str();
}

void check_goldens(const char* file) {
  std::ifstream in(testing::source_path("tests/data") / file);
  const auto goldens = nlohmann::json::parse(in);
  int failures = 0;
  for (const auto& [input, entry] : goldens.items()) {
    for (const auto& [layout, a] : layouts(decode(entry["input"])))
      for (const auto& [text, expected] : entry["results"].items()) {
        const auto [name, call] = parse(text);
        const array want = decode(expected);
        const std::string wrong =
            difference(functions().at(name)(a, call), want, tolerance(name, want.dtype()));
        if (wrong.empty()) continue;
        ADD_FAILURE() << text << " of " << input << ", " << layout << ": " << wrong;
        ASSERT_LT(++failures, 20) << "giving up";
      }
  }
}

TEST(Reduce, EqualsNumPyInEveryDtypeAndLayout) { check_goldens("reduce.json"); }
TEST(ScanAndSort, EqualNumPyInEveryDtypeAndLayout) { check_goldens("scan_sort.json"); }
TEST(Composed, EqualNumPyInEveryDtypeAndLayout) { check_goldens("composed.json"); }

}  // namespace
}  // namespace hearth
