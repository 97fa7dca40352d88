#include "tests/programs/program.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hearth/base/listed.h"

namespace hearth::testing {

namespace {

constexpr Real kMost = 1e4, kLeast = 1e-30;  // of floats: no half overflows, no float is denormal
constexpr size_t kMostElements = 1500;

bool ordinary(const Value& v) {
  return v.x.size() <= kMostElements &&
         (!is_floating(v.dtype) || std::all_of(v.x.begin(), v.x.end(), [](Real x) {
           const Real a = std::abs(x);
           return a <= kMost && (a == 0 || a >= kLeast);  // no NaN
         }));
}
/// The results of a step, rounded; empty if they are not ordinary.
std::optional<Values> results_of(const Step& s, const Values& values) {
  Operands in;
  for (int i : s.in) in.push_back(&values[size_t(i)]);
  Values out = s.operation->plain(in, s.parameters);
  for (Value& v : out) {
    v = rounded(std::move(v));
    if (!ordinary(v)) return std::nullopt;
  }
  return out;
}

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> out;
    for (auto* list :
         {elementwise_operations, reductions, movements, cuts, lookups, products, layers})
      for (Operation& o : list()) out.push_back(std::move(o));
    return out;
  }();
  return all;
}

std::string to_string(const Program& p) {
  std::string text = concat("program of seed ", p.seed, p.smooth ? ", smooth" : "", "\n");
  const auto values = interpret(p, p.arguments);
  size_t argument = 0;
  int next = 0;
  for (const Step& s : p.steps) {
    if (!s.operation) {
      text += concat("  v", next++, " = ", p.arguments[argument++], "\n");
      continue;
    }
    std::vector<std::string> results, in, numbers;
    for (int i = 0; i < s.results; ++i, ++next) {
      results.push_back(concat("v", next));
      if (!values) continue;
      const Value& v = (*values)[size_t(next)];
      results.back() += concat(": ", short_name(v.dtype), " ", v.shape);
    }
    for (int i : s.in) in.push_back(concat("v", i));
    for (double n : s.parameters) numbers.push_back(concat(n));
    text += concat("  ", listed(results), " = ", s.operation->name, "(", listed(in),
                   numbers.empty() ? "" : "; ", listed(numbers), ")\n");
  }
  std::vector<std::string> outputs;
  for (int i : p.outputs) outputs.push_back(concat("v", i));
  return text + concat("  -> ", listed(outputs), "\n");
}

std::optional<Values> interpret(const Program& p, const Values& arguments) {
  Values values;
  size_t argument = 0;
  for (const Step& s : p.steps) {
    if (!s.operation) {
      values.push_back(arguments[argument++]);
      continue;
    }
    auto results = results_of(s, values);
    if (!results) return std::nullopt;
    for (Value& v : *results) values.push_back(std::move(v));
  }
  return values;
}

Values other_arguments(const Program& p, uint64_t seed) {
  Maker maker(seed, true);
  Values out;
  for (const Value& v : p.arguments) out.push_back(maker.numbers(v.shape, v.dtype));
  return out;
}

Program random_program(uint64_t seed, bool smooth) {
  Maker maker(seed, smooth);
  Program p = maker.program(maker.between(5, 50));
  p.seed = seed, p.smooth = smooth;
  return p;
}

Maker::Maker(uint64_t seed, bool smooth) : state_(seed * 2 + uint64_t(smooth)), smooth_(smooth) {
  for (int i = 0; i < 3; ++i) sizes_.push_back(between(1, 6));
  if (one_in(4)) sizes_.push_back(between(7, 40));
  if (one_in(8)) sizes_.push_back(0);
}
uint64_t Maker::random() {  // splitmix64
  uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) >> 1;
}

int Maker::size() { return one_in(6) ? 1 : sizes_[size_t(below(int(sizes_.size())))]; }
Shape Maker::shape() {
  Shape s;
  for (int k = between(0, one_in(5) ? 4 : 3); k > 0; --k) s.push_back(size());
  while (element_count(s) > kMostElements) s.pop_back();
  return s;
}
Dtype Maker::dtype() {
  if (smooth_) return one_in(6) ? int32 : float64;
  constexpr Dtype kAll[] = {float32, float32, float32, float32, float16,  bfloat16,
                            float64, int32,   int32,   int64,   uint8,    uint32,
                            bool_,   int8,    float32, float16, bfloat16, int16};
  return kAll[below(std::size(kAll))];
}
Value Maker::numbers(const Shape& shape, Dtype dtype) {
  const bool coarse = !smooth_ && one_in(3);  // many are equal, and exact in every dtype
  const int most = one_in(3) ? 100 : 6;
  return rounded(made(shape, dtype, [&](const Place&) -> Real {
    if (dtype == bool_) return below(2);
    if (!is_floating(dtype)) return between(kind_of(dtype) == Kind::u ? 0 : -most, most);
    return coarse ? Real(between(-12, 12)) / 4 : Real(random() >> 11) * 0x1p-49L - 4;
  }));
}

int Maker::argument(Value v) {
  if (program_.arguments.size() >= 12 || v.x.size() > kMostElements) throw Unfit{};
  program_.steps.push_back({nullptr});
  program_.arguments.push_back(v);
  values_.push_back(std::move(v));
  return int(values_.size()) - 1;
}

int Maker::any(const std::function<bool(const Value&)>& fits) {
  const int n = int(values_.size());
  for (int tries = 0; tries < 12; ++tries) {
    const int i = one_in(2) ? below(n) : n - 1 - below(std::min(n, 5));
    if (fits(values_[size_t(i)])) return i;
  }
  throw Unfit{};
}
int Maker::any_float() { return any(floating); }
int Maker::any_integer() {
  return any([](const Value& v) { return is_integer(v.dtype); });
}
int Maker::like(const Shape& shape, Dtype dtype) {
  if (!one_in(4)) try {
      return any([&](const Value& v) { return v.shape == shape && v.dtype == dtype; });
    } catch (Unfit) {
    }
  return argument(numbers(shape, dtype));
}
int Maker::broadcasting(const Shape& shape, const std::function<bool(Dtype)>& fits,
                        Dtype otherwise) {
  const auto broadcasts = [&](const Value& v) {
    if (v.shape.size() > shape.size() || !fits(v.dtype)) return false;
    for (size_t k = 1; k <= v.shape.size(); ++k) {
      const int n = v.shape[v.shape.size() - k];
      if (n != 1 && n != shape[shape.size() - k]) return false;
    }
    return true;
  };
  if (!one_in(6)) try {
      return any(broadcasts);
    } catch (Unfit) {
    }
  Shape own = shape;
  for (int& n : own)
    if (one_in(3)) n = 1;
  if (!own.empty() && one_in(4)) own.erase(own.begin());
  return argument(numbers(own, otherwise));
}
std::vector<int> Maker::axes(int value, bool may_be_none) {
  const int n = int((*this)[value].shape.size());
  std::vector<int> out;
  for (int k = 0; k < n; ++k)
    if (one_in(2)) out.push_back(k);
  if (out.empty() && n > 0 && !(may_be_none && one_in(2))) out.push_back(below(n));
  return out;
}

int Maker::within(int value, double low, double high) {
  const Value& v = (*this)[value];
  if (std::all_of(v.x.begin(), v.x.end(), [&](Real x) { return x >= low && x <= high; }))
    return value;
  if (!is_floating(v.dtype)) low = std::ceil(low), high = std::floor(high);
  if (v.dtype == bool_ || low > high || (kind_of(v.dtype) == Kind::u && high < 0)) throw Unfit{};
  if (kind_of(v.dtype) == Kind::u) low = std::max(low, 0.0);
  static const Operation* clip = [] {
    const auto& all = operations();
    return &*std::find_if(all.begin(), all.end(), [](const auto& o) { return o.name == "clip"; });
  }();
  add(*clip, {value}, {low, high});
  return int(values_.size()) - 1;
}

void Maker::add(std::vector<int> in, Parameters parameters) {
  add(*drawn_, std::move(in), std::move(parameters));
}
void Maker::add(const Operation& operation, std::vector<int> in, Parameters parameters) {
  Step s{&operation, std::move(in), std::move(parameters), 1};
  auto results = results_of(s, values_);
  if (!results) throw Unfit{};
  if (smooth_)
    for (const Value& v : *results) {
      bool floats = false, integers = false;
      for (int i : s.in) {
        floats = floats || floating(values_[size_t(i)]);
        integers = integers || is_integer(values_[size_t(i)].dtype);
      }
      // A cast to integers passes gradients on that no difference has; places (u32) have none.
      const bool is_cast = is_integer(v.dtype) && floats && (integers || v.dtype != uint32);
      if (is_cast || (floating(v) && v.dtype != float64)) throw Unfit{};
    }
  s.results = int(results->size());
  program_.steps.push_back(std::move(s));
  for (Value& v : *results) values_.push_back(std::move(v));
}

namespace {

/// Without the steps that no output needs.
Program needed(const Program& p, const std::vector<int>& outputs) {
  std::vector<int> first;  // value of each step
  int values = 0;
  for (const Step& s : p.steps) first.push_back(values), values += s.results;
  std::vector<bool> needs(size_t(values), false);
  const auto used = [&](size_t k) {
    bool is = false;
    for (int i = 0; i < p.steps[k].results; ++i) is = is || needs[size_t(first[k] + i)];
    return is;
  };
  for (int i : outputs) needs[size_t(i)] = true;
  for (size_t k = p.steps.size(); k-- > 0;)
    if (used(k))
      for (int i : p.steps[k].in) needs[size_t(i)] = true;
  Program out{p.seed, p.smooth};
  std::vector<int> number(size_t(values), -1);
  int next = 0;
  size_t argument = 0;
  for (size_t k = 0; k < p.steps.size(); ++k) {
    argument += !p.steps[k].operation;
    if (!used(k)) continue;
    if (!p.steps[k].operation) out.arguments.push_back(p.arguments[argument - 1]);
    out.steps.push_back(p.steps[k]);
    for (int& i : out.steps.back().in) i = number[size_t(i)];
    for (int i = 0; i < p.steps[k].results; ++i) number[size_t(first[k] + i)] = next++;
  }
  for (int i : outputs) out.outputs.push_back(number[size_t(i)]);
  return out;
}
/// With the results of a step as arguments.
std::optional<Program> without(const Program& p, size_t step) {
  const auto values = interpret(p, p.arguments);
  if (!values || !p.steps[step].operation) return std::nullopt;
  Program out{p.seed, p.smooth};
  size_t argument = 0, first = 0;
  for (size_t k = 0; k < p.steps.size(); ++k) {
    const Step& s = p.steps[k];
    if (!s.operation) out.arguments.push_back(p.arguments[argument++]);
    for (int i = 0; k == step && i < s.results; ++i) {
      out.steps.push_back({nullptr});
      out.arguments.push_back((*values)[first + size_t(i)]);
    }
    if (k != step) out.steps.push_back(s);
    first += size_t(s.results);
  }
  return needed(out, p.outputs);
}

}  // namespace

Program Maker::program(int steps) {
  const auto& all = operations();
  for (int i = between(1, 3); i > 0; --i) argument(numbers(shape(), smooth_ ? float64 : dtype()));
  for (int done = 0, tries = 0; done < steps && tries < 20 * steps; ++tries) {
    drawn_ = &all[size_t(below(int(all.size())))];
    try {
      drawn_->draw(*this);
      ++done;
    } catch (Unfit) {
    }
  }
  // Outputs: what nobody reads, and some of the others.
  std::vector<bool> inner(values_.size(), false);
  size_t next = 0;
  for (const Step& s : program_.steps) {
    for (int i : s.in) inner[size_t(i)] = !one_in(10);
    for (int i = 0; i < s.results; ++i) inner[next++] = !s.operation;
  }
  for (size_t i = 0; i < values_.size(); ++i)
    if (!inner[i]) program_.outputs.push_back(int(i));
  return needed(program_, program_.outputs);
}

std::pair<Program, Failure> smallest(Program p, Failure failure, const Check& check) {
  const auto try_it = [&](const std::optional<Program>& simpler) {
    if (!simpler || simpler->outputs.empty()) return false;
    const auto still = check(*simpler);
    if (!still) return false;
    p = *simpler, failure = *still;
    return true;
  };
  bool shorter = true;
  for (int rounds = 0; shorter && rounds < 20; ++rounds) {
    shorter = false;
    if (failure.value >= 0 && p.outputs != std::vector<int>{failure.value})
      shorter = try_it(needed(p, {failure.value}));
    for (size_t k = 0; p.outputs.size() > 1 && k < p.outputs.size(); ++k) {
      std::vector<int> fewer = p.outputs;
      fewer.erase(fewer.begin() + long(k));
      shorter = try_it(needed(p, fewer)) || shorter;
    }
    for (size_t k = 0; k < p.steps.size(); ++k) shorter = try_it(without(p, k)) || shorter;
  }
  return {std::move(p), std::move(failure)};
}

}  // namespace hearth::testing
