// The gradient of every primitive but Map (whose table tests/ops/gradient_test.cpp walks) against
// central differences, and that of its gradient. A primitive without a case fails the last test.
#include "tests/gradients.h"

#include <map>
#include <set>

#include "hearth/ops/primitives.h"
#include "hearth/ops/primitives_layers.h"

namespace hearth::testing {
namespace {

using fast::Activation;

// A case with one output.
GradientCase one(std::string name, std::function<array(const Arrays&)> f, Arrays in,
                 bool twice = true) {
  return {std::move(name), [f](const Arrays& in) { return Arrays{f(in)}; }, std::move(in), twice};
}
array ids(std::initializer_list<int> values) { return array(values, {int(values.size())}); }
array column(std::initializer_list<int> values) { return array(values, {int(values.size()), 1}); }

std::vector<GradientCase> movement_cases() {
  const array x = scattered({3, 4}), u = scattered({2, 2}, 1);
  return {
      one("copy", [](auto& in) { return square(copy(in[0])); }, {x}),
      one("contiguous", [](auto& in) { return square(contiguous(transpose(in[0]))); }, {x}),
      one("reshape",
          [](auto& in) {
            return square(reshape(in[0], {2, 6}));
          },
          {x}),
      one("transpose", [](auto& in) { return square(transpose(in[0])); }, {x}),
      one("broadcast",
          [](auto& in) {
            return square(broadcast_to(in[0], {2, 3, 4}));
          },
          {x}),
      one("slice",
          [](auto& in) {
            return square(slice(in[0], {2, 3}, {-4, 0}, {-2, -1}));
          },
          {x}),
      one("as_strided",
          [](auto& in) {
            return square(as_strided(in[0], {3, 3}, {3, 2}, 1));
          },
          {x}),
      one("concatenate",
          [](auto& in) {
            return square(concatenate({in[0], in[1], in[0]}, 1));
          },
          {x, scattered({3, 2}, 2)}),
      one("slice_update",
          [](auto& in) {
            return square(slice_update(in[0], in[1], {0, 1}, {3, 4}, {2, 2}));
          },
          {x, u}),
      one("slice_update_prod",
          [](auto& in) {
            return slice_update_prod(in[0], in[1], {0, 1}, {3, 4}, {2, 2});
          },
          {x, u}),
      one("slice_update_max",
          [](auto& in) {
            return square(slice_update_max(in[0], in[1], {0, 1}, {2, 3}));
          },
          {x, u}),
      one("dynamic slice",
          [](auto& in) {
            return square(slice(in[0], ids({1, 2}), {0, 1}, {2, 2}));
          },
          {x}),
      one("dynamic slice_update",
          [](auto& in) {
            return square(slice_update(in[0], in[1], ids({1, 2}), {0, 1}));
          },
          {x, u}),
      one("pad",
          [](auto& in) {
            return square(pad(in[0], {{1, 2}, {0, 3}}, array(0.5)));
          },
          {x}),
  };
}

std::vector<GradientCase> index_cases() {
  const array x = scattered({3, 4}), rows = ids({2, 0, 2});
  return {
      one("gather", [=](auto& in) { return square(take(in[0], rows, 0)); }, {x}),
      one("gather_axis",
          [](auto& in) {
            return square(take_along_axis(in[0], column({1, 0, 2}), 1));
          },
          {x}),
      one("scatter",
          [](auto& in) {
            return square(scatter(in[0], ids({2, 0}), in[1], 0));
          },
          {x, scattered({2, 1, 4}, 1)}),
      one("scatter_add", [=](auto& in) { return square(scatter_add(in[0], rows, in[1], 0)); },
          {x, scattered({3, 1, 4}, 1)}),
      one("scatter_max", [=](auto& in) { return square(scatter_max(in[0], rows, in[1], 0)); },
          {x, scattered({3, 1, 4}, 1)}),
      one("scatter_min", [=](auto& in) { return square(scatter_min(in[0], rows, in[1], 0)); },
          {x, scattered({3, 1, 4}, 1)}),
      one("put_along_axis",
          [](auto& in) {
            return square(put_along_axis(in[0], column({1, 0, 2}), in[1], 1));
          },
          {x, scattered({3, 1}, 1)}),
      one("scatter_add_axis",
          [](auto& in) {
            return square(scatter_add_axis(in[0], column({1, 0, 2}), in[1], 1));
          },
          {x, scattered({3, 1}, 1)}),
      one("masked_scatter",
          [](auto& in) {
            return square(masked_scatter(in[0], greater(scattered({3, 4}, 5), array(0.0)), in[1]));
          },
          {x, scattered({12}, 1)}),
  };
}

std::vector<GradientCase> reduce_cases() {
  const array x = scattered({2, 3, 4});
  const array zeros_among({0.0, 2.0, 0.0,  3.0,  -1.5,  //
                           1.5, 0.0, 2.0,  -0.5, 3.0,   //
                           0.0, 0.0, 0.0,  2.0,  1.0,   //
                           5.0, 1.0, -2.0, 0.0,  0.0},
                          {4, 5}, float64);
  std::vector<GradientCase> cases{
      one("sum",
          [](auto& in) {
            return square(sum(in[0], std::vector<int>{0, 2}));
          },
          {x}),
      one("prod", [](auto& in) { return prod(in[0], 1); }, {x}),
      // Two zeros in a row: each is the only one that matters to the slope of the other.
      one("prod with zeros", [](auto& in) { return prod(in[0], 1); }, {zeros_among}),
      one("prod of all, with zeros", [](auto& in) { return prod(in[0]); },
          {slice(zeros_among, {0, 0}, {1, 5})}),
      one("mean", [](auto& in) { return square(mean(in[0], 1, true)); }, {x}),
      one("var", [](auto& in) { return var(in[0], -1, false, 1); }, {x}),
      one("std", [](auto& in) { return hearth::std(in[0], 1); }, {x}),
      one("max", [](auto& in) { return square(max(in[0], -1)); }, {x}),
      one("min", [](auto& in) { return square(min(in[0], 0)); }, {x}),
      one("median", [](auto& in) { return square(median(in[0], 1)); }, {x}),
      one("logsumexp",
          [](auto& in) {
            return logsumexp(in[0], std::vector<int>{0, 2});
          },
          {x}),
      one("softmax",
          [](auto& in) {
            return softmax(in[0], std::vector<int>{1, 2});
          },
          {x}),
      one("log_softmax", [](auto& in) { return square(log_softmax(in[0])); }, {x}),
      one("sort", [](auto& in) { return square(sort(in[0], 1)); }, {x}),
      one("partition", [](auto& in) { return square(partition(in[0], 2, -1)); }, {x}),
      one("topk", [](auto& in) { return square(topk(in[0], 2, 1)); }, {x}),
      one("trace", [](auto& in) { return square(trace(in[0], 1, 0, 2)); }, {x}),
      one("diff", [](auto& in) { return square(diff(in[0], 2, -1)); }, {x}),
  };
  for (bool reverse : {false, true})
    for (bool inclusive : {false, true}) {
      const std::string how = concat(reverse ? ", reverse" : "", inclusive ? "" : ", exclusive");
      cases.push_back(one("cumsum" + how,
                          [=](auto& in) { return square(cumsum(in[0], 1, reverse, inclusive)); },
                          {x}));
      cases.push_back(one("cumprod" + how,
                          [=](auto& in) { return cumprod(in[0], 2, reverse, inclusive); }, {x}));
      for (int axis : {0, 1})
        cases.push_back(one(concat("cumprod with zeros, axis ", axis, how),
                            [=](auto& in) { return cumprod(in[0], axis, reverse, inclusive); },
                            {zeros_among}));
      if (!inclusive) continue;  // the first is infinite
      cases.push_back(
          one("cummax" + how, [=](auto& in) { return square(cummax(in[0], 2, reverse)); }, {x}));
      cases.push_back(
          one("cummin" + how, [=](auto& in) { return square(cummin(in[0], 0, reverse)); }, {x}));
      cases.push_back(one("logcumsumexp" + how,
                          [=](auto& in) { return logcumsumexp(in[0], 2, reverse); }, {x}));
    }
  return cases;
}

std::vector<GradientCase> matmul_cases() {
  const array a = scattered({2, 3}), b = scattered({3, 2}, 1);
  return {
      one("matmul", [](auto& in) { return matmul(in[0], in[1]); }, {a, b}),
      one("matmul, batch broadcast", [](auto& in) { return matmul(in[0], in[1]); },
          {scattered({2, 1, 2, 3}), scattered({2, 3, 2}, 1)}),
      one("matmul, transposed", [](auto& in) { return matmul(transpose(in[0]), in[0]); }, {a}),
      one("matmul with a vector", [](auto& in) { return matmul(in[0], in[1]); },
          {a, scattered({3}, 1)}),
      one("addmm", [](auto& in) { return square(addmm(in[2], in[0], in[1], 0.5f, 2.0f)); },
          {a, b, scattered({2}, 2)}),
      one("tensordot", [](auto& in) { return tensordot(in[0], in[1], 1); }, {a, b}),
      one("inner", [](auto& in) { return inner(in[0], in[1]); }, {a, scattered({4, 3}, 1)}),
      one("outer", [](auto& in) { return outer(in[0], in[1]); },
          {scattered({3}), scattered({2}, 1)}),
      one("kron", [](auto& in) { return kron(in[0], in[1]); }, {a, b}),
      one("vecdot", [](auto& in) { return vecdot(in[0], in[1]); }, {a, scattered({2, 3}, 1)}),
  };
}

std::vector<GradientCase> conv_cases() {
  const auto conv = [](int stride, int low, int high, int kernel_dilation, int input_dilation,
                       int groups) {
    return [=](const Arrays& in) {
      return square(conv_general(in[0], in[1], {stride, 1}, {low, 0}, {high, 1},
                                 {kernel_dilation, 1}, {input_dilation, 1}, groups));
    };
  };
  const array x = scattered({2, 5, 3, 2}), w = scattered({2, 2, 3, 2}, 1);
  return {
      one("conv1d", [](auto& in) { return conv1d(in[0], in[1], 2, 1); },
          {scattered({2, 6, 2}), scattered({3, 3, 2}, 1)}),
      one("conv, rows that no kernel sees", conv(2, 0, -1, 1, 1, 1), {x, w}),
      one("conv, dilated and padded", conv(1, 2, 1, 3, 2, 1), {x, w}),
      one("conv, groups", conv(3, 1, 1, 1, 1, 2), {x, scattered({4, 2, 3, 1}, 1)}),
      one("conv_transpose2d",
          [](auto& in) {
            return conv_transpose2d(in[0], in[1], {2, 1}, {1, 0});
          },
          {scattered({1, 3, 2, 2}), scattered({2, 3, 2, 2}, 1)}),
      one("the gradient of conv1d by its weight",
          [](auto& in) {
            return grad([&](const array& w) { return sum(square(conv1d(in[0], w, 2, 1))); })(in[1]);
          },
          {scattered({2, 5, 2}), scattered({3, 2, 2}, 1)}),
      one("the gradient of conv1d",
          [](auto& in) {
            return grad([&](const array& x) { return sum(square(conv1d(x, in[1]))); })(in[0]);
          },
          {scattered({1, 4, 2}), scattered({2, 2, 2}, 1)}),
  };
}

std::vector<GradientCase> fast_cases() {
  const array x = scattered({2, 3, 6}), w = scattered({6}, 1), b = scattered({6}, 2);
  std::vector<GradientCase> cases{
      one("layer_norm", [](auto& in) { return fast::layer_norm(in[0], {}, {}, 1e-3f); }, {x}),
      one("layer_norm, weight and bias",
          [](auto& in) { return fast::layer_norm(in[0], in[1], in[2], 1e-3f); }, {x, w, b}),
      one("layer_norm, bias", [](auto& in) { return fast::layer_norm(in[0], {}, in[1], 1e-3f); },
          {x, b}),
      one("rms_norm", [](auto& in) { return fast::rms_norm(in[0], {}, 1e-3f); }, {x}),
      one("rms_norm, weight", [](auto& in) { return fast::rms_norm(in[0], in[1], 1e-3f); }, {x, w}),
      one("rope", [](auto& in) { return square(fast::rope(in[0], 4, false, 100.0f, 0.7f, 3)); },
          {x}),
      one("rope, traditional, an offset a row",
          [](auto& in) {
            return square(fast::rope(in[0], 6, true, 100.0f, 1.0f, ids({0, 5})));
          },
          {x}),
      one("rope, freqs",
          [](auto& in) {
            return square(fast::rope(in[0], 4, false, {}, 1.0f, 2, array({1.0f, 7.0f})));
          },
          {x}),
  };

  // 4 heads on 2 of keys and values, 2 queries on 3 keys.
  const array q = scattered({1, 4, 2, 3}), k = scattered({1, 2, 3, 3}, 1),
              v = scattered({1, 2, 3, 2}, 2), added = scattered({1, 4, 2, 3}, 3),
              sinks = scattered({4}, 4);
  const array seen = array({true, false, true, true, true, false}, {2, 3});
  const auto attend = [](const Arrays& in, const char* mode, std::optional<array> mask = {},
                         std::optional<array> sinks = {}) {
    return fast::scaled_dot_product_attention(in[0], in[1], in[2], 0.8f, mode, mask, sinks);
  };
  cases.push_back(one("attention", [=](auto& in) { return attend(in, ""); }, {q, k, v}));
  cases.push_back(
      one("attention, causal", [=](auto& in) { return attend(in, "causal"); }, {q, k, v}));
  cases.push_back(one("attention, added mask", [=](auto& in) { return attend(in, "", in[3]); },
                      {q, k, v, added}));
  cases.push_back(one("attention, mask broadcast over heads",
                      [=](auto& in) { return attend(in, "array", in[3]); },
                      {q, k, v, scattered({2, 3}, 3)}));
  cases.push_back(one("attention, boolean mask and sinks",
                      [=](auto& in) { return attend(in, "array", seen, in[3]); },
                      {q, k, v, sinks}));

  for (Activation activation : fast::kActivations)
    cases.push_back(one(
        concat("linear, ", to_string(activation)),
        [a = activation](auto& in) { return square(fast::linear(in[0], in[1], in[2], a, in[3])); },
        {x, scattered({5, 6}, 1), scattered({5}, 2), scattered({2, 3, 5}, 3)}));
  cases.push_back({"linears",
                   [](const Arrays& in) {
                     const fast::Projection all[] = {{in[1], in[2], Activation::silu},
                                                     {in[3], {}, Activation::none}};
                     return fast::linears(square(in[0]), all);
                   },
                   {x, scattered({2, 6}, 1), scattered({2}, 2), scattered({4, 6}, 3)}});
  cases.push_back({"linears of a norm",
                   [](const Arrays& in) {
                     const fast::Projection all[] = {{in[1], {}, Activation::gelu_approx}};
                     return fast::linears(in[0], all, fast::Norm{in[2], in[3], 1e-3f});
                   },
                   {x, scattered({2, 6}, 1), scattered({6}, 2), scattered({6}, 3)}});
  cases.push_back(one("linear_sum",
                      [](auto& in) {
                        const fast::Term terms[] = {{in[0], in[1], in[2]}, {in[3], in[4], {}}};
                        return square(fast::linear_sum(terms, in[5]));
                      },
                      {x, scattered({5, 6}, 1), scattered({5}, 2), scattered({2, 3, 4}, 3),
                       scattered({5, 4}, 4), scattered({2, 3, 5}, 5)}));
  return cases;
}

std::vector<GradientCase> layer_cases() {
  const array x = scattered({2, 1, 4}), each = scattered({2, 3, 4}, 1);
  const array chosen = array({0, 2, 2, 1, 0, 2}, {2, 3});
  const auto experts = [=](const Arrays& in) {
    const fast::Projection all[] = {{in[1], in[2], Activation::silu}, {in[3], {}}};
    return fast::expert_linears(in[0], chosen, all);
  };
  const Arrays weights{scattered({3, 5, 4}, 2), scattered({3, 5}, 3), scattered({3, 2, 4}, 4)};
  const auto conv = [](const Arrays& in) {
    const auto r = fast::causal_conv(in[0], in[1], in[2], in[3], Activation::silu, ids({2, 3}));
    return Arrays{r.y, r.state};
  };
  const auto delta = [](const Arrays& in) {
    const auto r = fast::gated_delta(in[0], in[1], in[2], in[3], in[5], in[4]);
    return Arrays{r.y, r.state};
  };
  const Arrays sequence{scattered({1, 3, 1, 2}),    scattered({1, 3, 1, 2}, 1),
                        scattered({1, 3, 2, 3}, 2), scattered({1, 3, 2}, 3),
                        scattered({1, 2, 2, 3}, 4), scattered({1, 3, 2}, 5)};
  return {
      {"expert_linears, one row for all", experts, {x, weights[0], weights[1], weights[2]}},
      {"expert_linears, few choices",
       [](const Arrays& in) {
         const fast::Projection all[] = {{in[1], in[2], Activation::silu}};
         return fast::expert_linears(in[0], array({2, 0}, {1, 2}), all);
       },
       {scattered({1, 1, 4}), weights[0], weights[1]}},
      {"expert_linears, a row each", experts, {each, weights[0], weights[1], weights[2]}},
      {"causal_conv",
       conv,
       {scattered({2, 3, 4}), scattered({4, 3}, 1), scattered({2, 2, 4}, 2), scattered({4}, 3)}},
      {"gated_delta", delta, sequence},
      {"gated_delta, nothing taken back",
       [](const Arrays& in) {
         const auto r = fast::gated_delta(in[0], in[1], in[2], in[3], {}, in[4]);
         return Arrays{r.y, r.state};
       },
       {sequence.begin(), sequence.end() - 1}},
  };
}

// By what enters; the old cache is written over.
GradientCase cached_attention_case() {
  const auto f = [](const Arrays& in) {
    const array k = zeros({2, 1, 4, 4}, float64), v = zeros({2, 1, 4, 4}, float64);
    const auto r = fast::cached_attention(in[0], in[1], in[2], contiguous(k), contiguous(v),
                                          ids({0, 1}), {.scale = 0.7f, .rotation = {.dims = 2}});
    return Arrays{r.y, r.cache_k, r.cache_v};
  };
  return {"cached_attention",
          f,
          {scattered({2, 2, 2, 4}), scattered({2, 2, 1, 4}, 1), scattered({2, 2, 1, 4}, 2)},
          false};
}

std::vector<GradientCase> all_cases() {
  std::vector<GradientCase> all;
  for (auto cases : {movement_cases, index_cases, reduce_cases, matmul_cases, conv_cases,
                     fast_cases, layer_cases})
    for (GradientCase& c : cases()) all.push_back(std::move(c));
  all.push_back(cached_attention_case());
  return all;
}

TEST(Gradients, AreTheSlopesOfEveryPrimitive) {
  for (const GradientCase& c : all_cases()) expect_gradients(c);
}

// Ids of the primitives between outputs not yet evaluated and their inputs.
void collect(const array& a, std::set<int>& ids) {
  if (!a.node().op) return;
  ids.insert(a.node().op->id);
  for (const array& in : a.node().inputs) collect(in, ids);
}

TEST(Gradients, HaveACaseForEveryPrimitive) {
  namespace id = primitive_id;
  std::set<int> covered = {id::Map};  // tests/ops/gradient_test.cpp
  const std::set<int> none = {id::StopGradient, id::ArgReduce,   id::Arange, id::SearchSorted,
                              id::RandomBits,   id::Reinterpret, id::Assign,  // writes state
                              id::Quantize,     id::Dequantize};
  for (const GradientCase& c : all_cases())
    for (const array& y : c.f(c.in)) collect(y, covered);
  const char* const names[] = {
#define X(name) #name,
      HEARTH_PRIMITIVES(X)
#undef X
  };
  for (int i = 0; i < id::count; ++i)
    EXPECT_TRUE(covered.contains(i) != none.contains(i))
        << names[i] << (none.contains(i) ? " has a case" : " has no case") << " above";
}

// Whatever a primitive's own gradient gives: shares of what is equal are no integers.
TEST(Gradients, HaveTheDtypeOfEachArrayOnTheirWay) {
  const array x({2, 2, 3, 1});
  const Function f = [](const Arrays& in) {
    const array part = slice(in[0], {0}, {2});
    return Arrays{astype(max(part), float32), astype(min(part), float32), mean(part), var(part)};
  };
  const auto [y, d] = vjp(f, {x}, Arrays(4, array(4.0f)));
  EXPECT_EQ(d[0].dtype(), int32);
  EXPECT_EQ(d[0].to_vector<int>(), (std::vector<int>{6, 6, 0, 0}));
}

TEST(Gradients, DoNotFlowWhereThereAreNone) {
  const array x = scattered({2, 3}, 0, float32);
  const std::pair<const char*, UnaryFunction> functions[] = {
      {"stop_gradient", [](const array& a) { return sum(stop_gradient(a)); }},
      {"argmax", [](const array& a) { return sum(astype(argmax(a, 1), float32)); }},
      {"argsort", [](const array& a) { return sum(astype(argsort(a, 1), float32)); }},
      {"searchsorted",
       [](const array& a) {
         return sum(astype(searchsorted(array({-0.5f, 0.0f, 0.5f}), a), float32));
       }},
      {"floor", [](const array& a) { return sum(floor(a)); }},
      {"greater", [](const array& a) { return sum(astype(greater(a, array(0.0f)), float32)); }},
  };
  for (const auto& [name, f] : functions)
    EXPECT_EQ(grad(f)(x).to_vector<float>(), std::vector<float>(6, 0.0f)) << name;
}

}  // namespace
}  // namespace hearth::testing
