// Every elementwise operation, reductions, and a joined chain of ten, against their limits measured
// turn by turn on the same device: copying for what writes as much as it reads, reading for
// reductions. Bytes are those of the operands and of the result.
//   [HEARTH_DEVICE=cuda] bench_elementwise [--elements N] [--dtype f32|f16|bf16] [--rounds N]
//                                          [--only NAME]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include <fmt/format.h>

#include "hearth/core/eval.h"
#include "hearth/ops/ops.h"
#include "hearth/ops/primitives_map.h"

using namespace hearth;

namespace {

using Job = std::function<array()>;

double seconds(const Job& job) {
  const auto start = std::chrono::steady_clock::now();
  const array result = job();
  eval(result);
  synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// The rate of `job` beside that of `limit`, in turns.
void compare(std::string_view name, int rounds, const Job& job, double bytes, const Job& limit,
             double limit_bytes) {
  seconds(job), seconds(limit);
  std::vector<double> rate, share;
  for (int i = 0; i < rounds; ++i) {
    const double most = limit_bytes / seconds(limit), here = bytes / seconds(job);
    rate.push_back(here / 1e9), share.push_back(here / most);
  }
  const auto [low, high] = std::minmax_element(share.begin(), share.end());
  fmt::print("{:<14} {:8.1f} GB/s {:6.1f} % of the limit ({:.1f} to {:.1f})\n", name, median(rate),
             100 * median(share), 100 * *low, 100 * *high);
}

// y = op(x, ...) as one node, where the operation takes the dtype.
array apply_op(ElementOp op, const Arrays& in) {
  auto map = std::make_shared<Map>();
  Map::Step step{op, in[0].dtype(), {}};
  for (size_t i = 0; i < in.size(); ++i) {
    map->inputs.push_back(in[i].dtype());
    step.from[i] = uint8_t(i);
  }
  const ResultRule rule = info(op).rule;
  if (rule == ResultRule::Compare || rule == ResultRule::Logic) step.dtype = bool_;
  map->results.push_back(map->add(step));
  return hearth::apply(map, {in.begin(), in.end()});
}

// x + 1, times 0.5, and so on: ten steps of one kernel.
array chain_of_ten(const array& x) {
  auto map = std::make_shared<Map>();
  map->inputs.push_back(x.dtype());
  map->constants.push_back(Map::Constant(1.0f, x.dtype()));
  map->constants.push_back(Map::Constant(0.5f, x.dtype()));
  for (int i = 0; i < 10; ++i) {
    const uint8_t from = i == 0 ? 0 : uint8_t(map->registers() - 1);
    const ElementOp ops[] = {ElementOp::add, ElementOp::multiply, ElementOp::subtract,
                             ElementOp::maximum};
    map->steps.push_back({ops[i % 4], x.dtype(), {from, uint8_t(1 + i % 2), 0}});
  }
  map->results.push_back(uint8_t(map->registers() - 1));
  return hearth::apply(map, {x});
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Elementwise operations and reductions against their limits");
  int64_t elements = 1 << 26;
  int rounds = 9;
  std::string name = "f32", only;
  app.add_option("--elements", elements)->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  app.add_option("--dtype", name)->check(CLI::IsMember({"f32", "f16", "bf16"}));
  app.add_option("--rounds", rounds)->check(CLI::Range(1, 1000));
  app.add_option("--only", only);
  CLI11_PARSE(app, argc, argv);
  const Dtype dtype = name == "f32" ? float32 : name == "f16" ? float16 : bfloat16;
  const int rows = int(std::max<int64_t>(1, elements >> 16));
  const Shape shape{rows, int(elements / rows)};
  const auto operand = [&](double low, double high, int key) {
    return astype(random::uniform(array(float(low)), array(float(high)), shape, float32,
                                  random::key(uint64_t(key))),
                  dtype);
  };
  const auto wanted = [&](std::string_view what) { return only.empty() || only == what; };

  const array source = operand(-8, 8, 0);
  eval(source);
  const double bytes = double(source.nbytes());
  const Job copies = [&] { return copy(source); };
  fmt::print("{}, {} elements of {}\n", to_string(default_device()), source.size(), name);
  for (int i = 0; i + 1 < kElementOps; ++i) {
    const ElementOpInfo& op = info(ElementOp(i));
    if (!wanted(op.name)) continue;
    if (!op.accepts(dtype)) continue;
    Arrays in;
    for (int a = 0; a < op.arity; ++a)
      in.push_back(op.rule == ResultRule::Select && a == 0
                       ? greater(source, array(0.0f))
                       : operand(op.domain[a][0], op.domain[a][1], a + 1));
    eval(in);
    double all = 0;
    for (const array& x : in) all += double(x.nbytes());
    all += double(apply_op(ElementOp(i), in).nbytes());
    compare(
        op.name, rounds, [&] { return apply_op(ElementOp(i), in); }, all, copies, 2 * bytes);
  }
  if (wanted("chain"))
    compare(
        "chain", rounds, [&] { return chain_of_ten(source); }, 2 * bytes, copies, 2 * bytes);
  // Reading alone: the largest element, the cheapest of reductions.
  const Job reads = [&] { return max(source); };
  const std::pair<std::string_view, Job> reductions[] = {
      {"sum", [&] { return sum(source); }},
      {"sum rows", [&] { return sum(source, 1); }},
      {"sum columns", [&] { return sum(source, 0); }},
      {"prod", [&] { return prod(source); }},
      {"min", [&] { return min(source); }},
      {"max rows", [&] { return max(source, 1); }},
      {"max columns", [&] { return max(source, 0); }},
      {"mean", [&] { return mean(source); }},
      {"var", [&] { return var(source); }},
      {"logsumexp", [&] { return logsumexp(source, 1); }},
      {"argmax", [&] { return argmax(source); }},
      {"argmax rows", [&] { return argmax(source, 1); }},
      {"any", [&] { return any(source); }}};
  for (const auto& [what, job] : reductions)
    if (wanted(what)) compare(what, rounds, job, bytes, reads, bytes);
} catch (const std::exception& e) {
  fmt::print(stderr, "{}\n", e.what());
  return 1;
}
