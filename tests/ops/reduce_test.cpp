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
#include "tests/close.h"
#include "tests/shared.h"

namespace hearth {
namespace {

Dtype dtype_named(const std::string& name) {
  for (int d = 0; d < kDtypes; ++d)
    if (short_name(Dtype(d)) == name) return Dtype(d);
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

/// What rounding may cost. Results are made in f32 or wider and rounded once: a unit. What is left
/// of 24 values up to 8 that cancel has the error of their sum, in f32 even in a half.
testing::Tolerance tolerance(const std::string& name, Dtype dtype) {
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is({"max", "min", "all", "any", "argmax", "argmin", "cummax", "cummin", "sort", "argsort",
          "count_nonzero", "partition", "argpartition", "topk", "clip", "nan_to_num",
          "floor_of_divmod", "rest_of_divmod", "round"}))
    return {};
  const bool half = dtype == float16 || dtype == bfloat16,
             sums = is({"sum", "mean", "cumsum", "trace"});
  if (name == "diff") return {2, 16};  // rounded after each of two differences
  if (half) return {1, 0, sums || is({"logsumexp", "logcumsumexp"}) ? 4e-6 : 0};
  // Products and exponentials of 24 values have some roundings each.
  if (sums || is({"logsumexp", "logcumsumexp"})) return {4, 16};
  return {name == "prod" || name == "cumprod" ? 24.0 : 6.0};
}

/// At least as many results as the file is known to hold, so that an empty one fails.
void check_goldens(const char* file, int least) {
  std::ifstream in(testing::source_path("tests/data") / file);
  const auto goldens = nlohmann::json::parse(in);
  int failures = 0, checked = 0;
  for (const auto& [input, entry] : goldens.items()) {
    for (const auto& [layout, a] : layouts(decode(entry["input"])))
      for (const auto& [text, expected] : entry["results"].items()) {
        const auto [name, call] = parse(text);
        const array want = decode(expected);
        const std::string wrong =
            testing::difference(functions().at(name)(a, call), want, tolerance(name, want.dtype()));
        ++checked;
        if (wrong.empty()) continue;
        ADD_FAILURE() << text << " of " << input << ", " << layout << ": " << wrong;
        ASSERT_LT(++failures, 20) << "giving up";
      }
  }
  EXPECT_GE(checked, least) << file;
}

TEST(Reduce, EqualsNumPyInEveryDtypeAndLayout) { check_goldens("reduce.json", 10000); }
TEST(ScanAndSort, EqualNumPyInEveryDtypeAndLayout) { check_goldens("scan_sort.json", 5000); }
TEST(Composed, EqualNumPyInEveryDtypeAndLayout) { check_goldens("composed.json", 2500); }

}  // namespace
}  // namespace hearth
