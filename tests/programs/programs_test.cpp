// Random programs give the same bits however they are run, and what the plain interpreter computes.
// $HEARTH_PROGRAMS: how many programs; $HEARTH_PROGRAMS_SEED: the first one's seed.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <thread>

#include "hearth/hearth.h"
#include "tests/on_device.h"
#include "tests/programs/program.h"
#include "tests/temp_folder.h"

namespace hearth::testing {

namespace {

/// How a program runs: what happens around each operation.
struct How {
  std::function<StreamOrDevice()> stream = [] { return StreamOrDevice(); };
  std::function<void(const Arrays&)> after = [](const Arrays&) {};
};
/// All values, not computed yet unless `run` does.
Arrays values_of(const Program& p, const Arrays& arguments, const How& run = {}) {
  Arrays values;
  size_t argument = 0;
  for (const Step& s : p.steps) {
    if (!s.operation) {
      values.push_back(arguments[argument++]);
      continue;
    }
    Arrays in;
    for (int i : s.in) in.push_back(values[size_t(i)]);
    StreamScope scope(run.stream());
    const Arrays results = s.operation->run(in, s.parameters);
    run.after(results);
    values.insert(values.end(), results.begin(), results.end());
  }
  return values;
}
Arrays picked(const Arrays& values, const std::vector<int>& which) {
  Arrays out;
  for (int i : which) out.push_back(values[size_t(i)]);
  return out;
}
Function function_of(const Program& p, How run = {}) {
  return
      [p, run](const Arrays& arguments) { return picked(values_of(p, arguments, run), p.outputs); };
}
Arrays arguments_of(const Values& arguments) {
  Arrays out;
  for (const Value& v : arguments) out.push_back(array_of(v));
  return out;
}

const How kEvalEach{[] { return StreamOrDevice(); }, [](const Arrays& y) { eval(y); }};

std::string bits_differ(const array& got, const array& want) {
  if (got.dtype() != want.dtype() || got.shape() != want.shape())
    return concat("got ", got.dtype(), " ", got.shape(), ", wanted ", want.dtype(), " ",
                  want.shape());
  const array a = contiguous(got), b = contiguous(want);
  if (a.size() == 0 || !std::memcmp(a.host_bytes(), b.host_bytes(), a.nbytes())) return "";
  return concat("got ", value_of(got), ", wanted ", value_of(want));
}
using MaybeFailure = std::optional<Failure>;
/// The outputs of a program that ran in some way, and its values, one operation after the other.
MaybeFailure same_bits(const Program& p, const Arrays& got, const Arrays& values) {
  eval(got);
  for (size_t i = 0; i < got.size(); ++i)
    if (const std::string why = bits_differ(got[i], values[size_t(p.outputs[i])]); !why.empty())
      return Failure{p.outputs[i], why};
  return std::nullopt;
}

/// Each operation's results are what the interpreter makes of what hearth gave it.
MaybeFailure agrees(const Program& p, const Arrays& values) {
  size_t next = 0;
  for (const Step& s : p.steps) {
    if (s.operation) {
      Values in;
      Operands operands;
      in.reserve(s.in.size());
      for (int i : s.in) in.push_back(value_of(values[size_t(i)]));
      for (const Value& v : in) operands.push_back(&v);
      const Values want = s.operation->plain(operands, s.parameters);
      for (size_t i = 0; i < want.size(); ++i)
        if (const std::string why = unlike(values[next + i], want[i]); !why.empty())
          return Failure{int(next + i), why};
    }
    next += size_t(s.results);
  }
  return std::nullopt;
}

// The ways. `values`: all, one operation after the other.

MaybeFailure at_the_end(const Program& p, const Arrays& values) {
  const Arrays out = function_of(p)(arguments_of(p.arguments));  // the arguments are given up
  if (p.seed % 2) async_eval(out);
  return same_bits(p, out, values);
}
MaybeFailure compiled(const Program& p, const Arrays& values) {
  return same_bits(p, compile(function_of(p), p.seed % 2)(arguments_of(p.arguments)), values);
}
MaybeFailure on_streams(const Program& p, const Arrays& values) {
  static const std::vector<Stream> streams{
      default_stream(default_device()), new_stream(default_device()), new_stream(default_device())};
  Maker draw(p.seed, false);
  const How run{[&] { return StreamOrDevice(streams[size_t(draw.below(3))]); },
                [&](const Arrays& y) {
                  if (draw.one_in(8)) async_eval(y);
                }};
  return same_bits(p, function_of(p, run)(arguments_of(p.arguments)), values);
}
MaybeFailure recorded(const Program& p, const Arrays& values) {
  Arrays out;
  for (const array& y : function_of(p)(arguments_of(p.arguments))) out.push_back(copy(y));
  Recording steps(out);
  steps.run();
  steps.run();
  for (array& y : out) y = copy(y);  // behind them, on their stream
  return same_bits(p, out, values);
}
MaybeFailure exported(const Program& p, const Arrays& values) {
  static const TempFolder folder;
  const std::string file = folder / "program.safetensors";
  const Arrays arguments = arguments_of(p.arguments);
  export_function(file, function_of(p), arguments, p.seed % 2);
  return same_bits(p, import_function(file)(arguments), values);
}

/// Over examples: each operation of the batch is right for each example.
MaybeFailure mapped(const Program& p, const Arrays&) {
  constexpr int kExamples = 3;
  Maker draw(p.seed, true);
  std::vector<int> axes;  // -1: the same for all
  for (const Value& v : p.arguments)
    axes.push_back(draw.one_in(4) ? -1 : draw.between(0, int(v.shape.size())));
  std::vector<Values> examples{p.arguments};
  for (uint64_t seed = p.seed; examples.size() < kExamples && seed < p.seed + 6; ++seed) {
    Values other = other_arguments(p, seed);
    for (size_t i = 0; i < other.size(); ++i)
      if (axes[i] < 0) other[i] = p.arguments[i];
    if (interpret(p, other)) examples.push_back(std::move(other));
  }
  // Where no others fit, the same ones.
  while (examples.size() < kExamples) examples.push_back(p.arguments);
  Arrays batch;
  for (size_t i = 0; i < axes.size(); ++i) {
    Arrays all;
    for (const Values& e : examples) all.push_back(array_of(e[i]));
    batch.push_back(axes[i] < 0 ? all[0] : stack(all, axes[i]));
  }
  if (std::all_of(axes.begin(), axes.end(), [](int k) { return k < 0; })) return std::nullopt;
  const Arrays all = vmap([&](const Arrays& x) { return values_of(p, x); }, axes)(batch);
  eval(all);
  for (int e = 0; e < kExamples; ++e) {
    Arrays one;
    for (const array& y : all) one.push_back(take(y, e, 0));
    if (auto failure = agrees(p, one)) {
      failure->why = concat("example ", e, ": ", failure->why);
      return failure;
    }
  }
  return std::nullopt;
}

/// Of a smooth program: its float outputs, and what the arguments move by.
struct Slope {
  Program p;
  Values moves;
  Arrays arguments, tangents, cotangents;
  explicit Slope(const Program& of) : p(of), arguments(arguments_of(of.arguments)) {
    Maker draw(p.seed, true);
    const auto values = interpret(p, p.arguments);
    std::vector<int> floats;
    for (int i : p.outputs)
      if (values && floating((*values)[size_t(i)])) floats.push_back(i);
    p.outputs = floats;
    for (const Value& v : p.arguments) {
      moves.push_back(draw.numbers(v.shape, v.dtype));
      for (Real& x : moves.back().x) x = floating(v) ? x / 4 : 0;
      tangents.push_back(array_of(moves.back()));
    }
    for (int i : p.outputs)
      cotangents.push_back(array_of(draw.numbers((*values)[size_t(i)].shape, float64)));
  }
  /// The interpreter's outputs after a step.
  std::optional<Values> at(Real step) const {
    Values moved = p.arguments;
    for (size_t i = 0; i < moved.size(); ++i)
      for (size_t k = 0; k < moved[i].x.size(); ++k) moved[i].x[k] += step * moves[i].x[k];
    auto values = interpret(p, moved);
    if (!values) return values;
    Values out;
    for (int i : p.outputs) out.push_back((*values)[size_t(i)]);
    return out;
  }
};
Real dot(const Arrays& a, const Arrays& b, Real* size = nullptr) {
  Real out = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const Value x = value_of(a[i]), y = value_of(b[i]);
    for (size_t k = 0; k < x.x.size(); ++k) {
      out += x.x[k] * y.x[k];
      if (size) *size += std::abs(x.x[k] * y.x[k]);
    }
  }
  return out;
}

/// Tangents are what differences have, wherever no step crosses a kink.
MaybeFailure tangents(const Program& program, const Arrays&) {
  const Slope s(program);
  if (s.p.outputs.empty()) return std::nullopt;
  const Arrays got = jvp(function_of(s.p), s.arguments, s.tangents).second;
  constexpr Real h = 0x1p-9L;
  std::optional<Values> y[7];  // at 0, h, -h, h/2, -h/2, h/4, -h/4
  const Real steps[] = {0, h, -h, h / 2, -h / 2, h / 4, -h / 4};
  for (int i = 0; i < 7; ++i)
    if (!(y[i] = s.at(steps[i]))) return std::nullopt;
  for (size_t o = 0; o < got.size(); ++o) {
    const Value g = value_of(got[o]);
    Real most = 1;
    for (Real x : (*y[0])[o].x) most = std::max(most, std::abs(x));
    for (size_t k = 0; k < g.x.size(); ++k) {
      Real f[7];
      for (int i = 0; i < 7; ++i) f[i] = (*y[i])[o].x[k];
      const auto central = [&](int i) { return (f[i] - f[i + 1]) / (2 * steps[i]); };
      const auto bend = [&](int i) { return (f[i] - 2 * f[0] + f[i + 1]) / steps[i]; };
      // Richardson's: without the error of h^2.
      const Real near = (4 * central(5) - central(3)) / 3, far = (4 * central(3) - central(1)) / 3;
      // Half the step bends half as much, but for a kink on the way.
      const Real kinks = std::abs(bend(5) - bend(3) / 2) + std::abs(bend(3) - bend(1) / 2);
      const Real scale = most + std::abs(near);
      // The angles of rope are floats.
      const Real may = 3e-6L * scale + 2 * std::abs(near - far) + 2 * kinks;
      if (may > 1e-3L * scale || std::abs(g.x[k] - near) <= may) continue;
      return Failure{s.p.outputs[o], concat("element ", k, " has the tangent ", double(g.x[k]),
                                            ", by differences ", double(near))};
    }
  }
  return std::nullopt;
}
/// Cotangents are the other side of tangents.
MaybeFailure cotangents(const Program& program, const Arrays&) {
  const Slope s(program);
  if (s.p.outputs.empty()) return std::nullopt;
  const Function f = function_of(s.p);
  const Function gradient = [&](const Arrays& x) { return vjp(f, x, s.cotangents).second; };
  const Arrays t = jvp(f, s.arguments, s.tangents).second, g = gradient(s.arguments);
  Real size = 1;
  const Real forward = dot(s.cotangents, t, &size), back = dot(g, s.tangents, &size);
  if (!(std::abs(forward - back) <= 1e-8L * size))
    return Failure{-1, concat("<w, jvp> is ", double(forward), ", <vjp, v> ", double(back))};
  return std::nullopt;
}
/// What gradients change by is symmetric.
MaybeFailure curvature(const Program& program, const Arrays&) {
  const Slope s(program);
  if (s.p.outputs.empty()) return std::nullopt;
  const Function gradient = [&](const Arrays& x) {
    return vjp(function_of(s.p), x, s.cotangents).second;
  };
  Maker draw(program.seed + 1, true);
  Arrays others;
  for (const array& x : s.tangents)
    others.push_back(is_floating(x.dtype()) ? array_of(draw.numbers(x.shape(), x.dtype())) : x);
  const auto along = [&](const Arrays& moves) { return jvp(gradient, s.arguments, moves).second; };
  Real size = 1;
  const Real one = dot(others, along(s.tangents), &size);
  const Real other = dot(s.tangents, along(others), &size);
  if (std::abs(one - other) <= 1e-7L * size) return std::nullopt;
  return Failure{-1, concat("<u, H v> is ", double(one), ", <v, H u> ", double(other))};
}
/// The gradient of each example.
MaybeFailure mapped_gradients(const Program& program, const Arrays&) {
  const Slope s(program);
  if (s.p.outputs.empty() || s.arguments.empty()) return std::nullopt;
  const Function gradient = [&](const Arrays& x) {
    return vjp(function_of(s.p), x, s.cotangents).second;
  };
  Arrays moved, both;
  for (size_t i = 0; i < s.arguments.size(); ++i) {
    const array &x = s.arguments[i], &d = s.tangents[i];
    moved.push_back(is_floating(x.dtype()) ? x + d * array(0x1p-12, float64) : x);
    both.push_back(stack({x, moved.back()}, 0));
  }
  const Arrays got = vmap(gradient)(both);
  for (int e = 0; e < 2; ++e) {
    const Arrays want = gradient(e ? moved : s.arguments);
    for (size_t i = 0; i < got.size(); ++i) {
      if (!is_floating(want[i].dtype())) continue;
      const Value a = value_of(take(got[i], e, 0)), b = value_of(want[i]);
      Real scale = 1;
      for (Real x : b.x) scale = std::max(scale, std::abs(x));
      for (size_t k = 0; k < b.x.size(); ++k)
        if (!(std::abs(a.x[k] - b.x[k]) <= 1e-8L * scale))
          return Failure{-1, concat("example ", e, " has the gradient ", a, ", alone ", b)};
    }
  }
  return std::nullopt;
}
/// Of any program: gradients have their arguments' types, and the same bits compiled.
MaybeFailure compiled_gradients(const Program& p, const Arrays& values) {
  Arrays ones;
  std::vector<int> floats;
  for (int i : p.outputs)
    if (is_floating(values[size_t(i)].dtype())) {
      floats.push_back(i);
      ones.push_back(ones_like(values[size_t(i)]));
    }
  Program q = p;
  q.outputs = floats;
  if (floats.empty()) return std::nullopt;
  const Function gradient = [&](const Arrays& x) { return vjp(function_of(q), x, ones).second; };
  const Arrays arguments = arguments_of(p.arguments);
  const Arrays want = gradient(arguments), got = compile(gradient)(arguments);
  eval(want);
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i].dtype() != arguments[i].dtype() || want[i].shape() != arguments[i].shape())
      return Failure{-1, concat("a gradient is ", want[i].dtype(), " ", want[i].shape())};
    const array a = nan_to_num(got[i], 0), b = nan_to_num(want[i], 0);
    if (const std::string why = bits_differ(a, b); !why.empty())
      return Failure{-1, concat("gradient ", i, ": ", why)};
  }
  return std::nullopt;
}

struct Way {
  const char* name;
  MaybeFailure (*check)(const Program&, const Arrays&);
};
const Way kWays[] = {{"by the interpreter", agrees},
                     {"evaluated at the end", at_the_end},
                     {"compiled", compiled},
                     {"on three streams", on_streams},
                     {"recorded", recorded},
                     {"from a file", exported},
                     {"mapped", mapped},
                     {"gradients, compiled", compiled_gradients}};
const Way kSmoothWays[] = {{"by the interpreter", agrees},
                           {"tangents", tangents},
                           {"cotangents", cotangents},
                           {"curvature", curvature},
                           {"gradients, mapped", mapped_gradients}};

MaybeFailure failure_of(const Way& way, const Program& p, std::optional<Arrays>& values) {
  try {
    if (!values) values = values_of(p, arguments_of(p.arguments), kEvalEach);
    return way.check(p, *values);
  } catch (const std::exception& e) {
    const std::string_view why = e.what();
    // What hearth says that it does not do.
    if (why.ends_with("has no gradient") || why.ends_with("cannot be written")) return std::nullopt;
    return Failure{-1, concat("threw: ", why)};
  }
}

uint64_t setting_or(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value ? std::strtoull(value, nullptr, 10) : otherwise;
}
void expect_same(std::span<const Way> ways, bool smooth) {
  const uint64_t first = setting_or("HEARTH_PROGRAMS_SEED", 1);
  // Elsewhere each fused program is compiled by the device's compiler, half a second a seed.
  const uint64_t count = setting_or("HEARTH_PROGRAMS", on_device() ? 10 : 150);
  int failures = 0;
  for (uint64_t seed = first; seed < first + count && failures < 10; ++seed) {
    const Program p = random_program(seed, smooth);
    if (count == 1) std::cerr << to_string(p);  // before it can crash
    std::optional<Arrays> values;
    for (const Way& way : ways) {
      const MaybeFailure failure = failure_of(way, p, values);
      if (!failure) continue;
      const auto small = smallest(p, *failure, [&](const Program& q) {
        std::optional<Arrays> own;
        return failure_of(way, q, own);
      });
      ADD_FAILURE() << way.name << ": v" << small.second.value << " " << small.second.why << "\n"
                    << to_string(small.first);
      ++failures;
    }
  }
}

TEST(RandomPrograms, GiveTheSameHoweverTheyAreRun) { expect_same(kWays, false); }
TEST(RandomPrograms, HaveTheDerivativesThatDifferencesHave) { expect_same(kSmoothWays, true); }

// Two threads trace one function at a time, and some calls throw on the way.
TEST(RandomPrograms, AreTracedByTwoThreadsOfWhichSomeThrow) {
  static thread_local int operations_left;  // then it throws; never, below 0
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const Program p = random_program(seed, true);
    const How fuse{[] { return StreamOrDevice(); },
                   [](const Arrays&) {
                     if (operations_left-- == 0) throw std::runtime_error("fuse");
                   }};
    const Slope s(p);
    const Function plain = function_of(s.p, fuse);
    const Function gradient = [&](const Arrays& x) { return vjp(plain, x, s.cotangents).second; };
    const Function functions[] = {compile(plain), compile(gradient), gradient};
    std::vector<Arrays> want;
    for (const Function& f : functions) {
      operations_left = -1;
      want.push_back(f(s.arguments));
      eval(want.back());
    }
    std::atomic<int> wrong = 0;
    const auto calls = [&](int which) {
      for (int call = 0; call < 12; ++call) {
        const size_t i = size_t(call + which) % 3;
        const bool throws = call % 4 == which;
        operations_left = throws ? call : -1;
        try {
          const Arrays got = functions[i](s.arguments);
          for (size_t k = 0; k < got.size(); ++k)
            wrong += !bits_differ(nan_to_num(got[k]), nan_to_num(want[i][k])).empty();
        } catch (const std::runtime_error& e) {
          wrong += !throws || std::string(e.what()) != "fuse";
        }
      }
    };
    std::thread other(calls, 1);
    calls(0);
    other.join();
    EXPECT_EQ(wrong, 0) << to_string(p);
  }
}

}  // namespace

}  // namespace hearth::testing
