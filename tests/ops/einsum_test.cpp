// einsum against the sum over all indices that its notation means, for expressions of many kinds.
#include "hearth/ops/einsum.h"

#include <gtest/gtest.h>

#include <map>

#include "hearth/ops/ops.h"
#include "tests/gradients.h"

namespace hearth {
namespace {

using testing::scattered;
using Path = std::vector<std::vector<int>>;

// The definition, index by index: plain letters only.
std::vector<double> by_definition(const std::string& text, const Arrays& in, Shape& shape) {
  std::vector<std::string> names(1);
  const size_t arrow = text.find("->");
  for (char c : text.substr(0, arrow)) c == ',' ? names.emplace_back() : names.back() += c, void();
  for (std::string& n : names) std::erase(n, ',');
  const std::string out = text.substr(arrow + 2);
  std::map<char, int> sizes, at;
  for (size_t k = 0; k < in.size(); ++k)
    for (size_t i = 0; i < names[k].size(); ++i)
      sizes[names[k][i]] = std::max(sizes[names[k][i]], in[k].shape(int(i)));
  for (char c : out) shape.push_back(sizes[c]);
  std::vector<std::vector<double>> values;
  for (const array& a : in) values.push_back(a.to_vector<double>());
  std::vector<double> result(element_count(shape), 0);
  const auto place = [&](const std::string& letters, const Shape& of) {
    size_t p = 0;
    for (size_t i = 0; i < letters.size(); ++i)
      p = p * size_t(of[i]) + size_t(of[i] == 1 ? 0 : at[letters[i]]);
    return p;
  };
  while (true) {
    double product = 1;
    for (size_t k = 0; k < in.size(); ++k) product *= values[k][place(names[k], in[k].shape())];
    result[place(out, shape)] += product;
    auto it = sizes.begin();
    for (; it != sizes.end(); ++it) {
      if (++at[it->first] < it->second) break;
      at[it->first] = 0;
    }
    if (it == sizes.end()) return result;
  }
}

array operand(Shape shape, int seed) { return scattered(shape, seed); }

TEST(Einsum, IsTheSumItStandsFor) {
  const std::vector<std::pair<std::string, std::vector<Shape>>> cases = {
      {"ij->ij", {{2, 3}}},
      {"ij->ji", {{2, 3}}},
      {"ij->", {{2, 3}}},
      {"ij->j", {{2, 3}}},
      {"ii->i", {{3, 3}}},
      {"ii->", {{3, 3}}},
      {"iji->ij", {{2, 3, 2}}},
      {"iij,jk->k", {{2, 2, 3}, {3, 4}}},
      {"iii->i", {{3, 3, 3}}},
      {"ij,jk->ik", {{2, 3}, {3, 4}}},
      {"ij,kj->ki", {{2, 3}, {4, 3}}},
      {"bij,bjk->bik", {{2, 3, 4}, {2, 4, 5}}},
      {"bij,bjk->kib", {{2, 3, 4}, {2, 4, 5}}},
      {"i,j->ij", {{3}, {4}}},
      {"i,i->", {{3}, {3}}},
      {"i,i->i", {{3}, {3}}},
      {"ij,k->j", {{2, 3}, {4}}},
      {"ijk,jl,kl->il", {{2, 3, 4}, {3, 5}, {4, 5}}},
      {"ab,bc,cd,de->ae", {{2, 3}, {3, 4}, {4, 2}, {2, 3}}},
      {"ab,cb,cd,ed,ea->", {{2, 3}, {4, 3}, {4, 2}, {3, 2}, {3, 2}}},
      {"ij,jk->ik", {{2, 1}, {3, 4}}},  // an axis of size 1 broadcasts
      {"ij,ij->ij", {{1, 3}, {2, 1}}},
      {"Ab,bA->A", {{2, 3}, {3, 2}}},
  };
  for (const auto& c : cases) {
    const std::string& text = c.first;
    const std::vector<Shape>& shapes = c.second;
    Arrays in;
    for (const Shape& s : shapes) in.push_back(operand(s, int(in.size())));
    Shape shape;
    const auto wanted = by_definition(text, in, shape);
    const array got = einsum(text, in);
    ASSERT_EQ(got.shape(), shape) << text;
    const auto v = got.to_vector<double>();
    for (size_t i = 0; i < v.size(); ++i) ASSERT_NEAR(v[i], wanted[i], 1e-12) << text << " " << i;
    testing::expect_gradients(
        {text, [&](const Arrays& x) { return Arrays{einsum(text, x)}; }, in, false});
  }
}

TEST(Einsum, ReadsItsNotation) {
  const array a = operand({2, 3, 4}, 1), b = operand({4, 5}, 2);
  const auto same = [](const array& x, const array& y) {
    return x.shape() == y.shape() && allclose(x, y).item<bool>();
  };
  EXPECT_TRUE(same(einsum("ij,jk", {operand({2, 3}, 1), operand({3, 4}, 2)}),
                   matmul(operand({2, 3}, 1), operand({3, 4}, 2))));
  EXPECT_TRUE(same(einsum("ba", {operand({2, 3}, 1)}), transpose(operand({2, 3}, 1))));
  EXPECT_TRUE(same(einsum("...j,jk->...k", {a, b}), matmul(a, b)));
  EXPECT_TRUE(same(einsum("...j,jk", {a, b}), matmul(a, b)));
  EXPECT_TRUE(same(einsum(" i ... -> ... i ", {a}), moveaxis(a, 0, -1)));
  EXPECT_TRUE(same(einsum("...,...->...", {a, operand({3, 1}, 4)}), a * operand({3, 1}, 4)));
  EXPECT_EQ(einsum("ij,jk->ik", {array({{1, 2}}), array({{3}, {4}})}).item<int>(), 11);
  EXPECT_EQ(einsum("ij->", {array({{1, 2}}, int8)}).dtype(), int8);
  EXPECT_EQ(einsum("i,i->", {array({1, 2}), array({0.5f, 0.5f})}).dtype(), float32);
  EXPECT_EQ(einsum("ij,jk->ik", {zeros({2, 0}), zeros({0, 3})}).to_vector<float>(),
            std::vector<float>(6, 0));
}

TEST(Einsum, TakesTheCheapestOrder) {
  const auto [path, text] =
      einsum_path("ij,jk,kl->il", {zeros({2, 100}), zeros({100, 100}), zeros({100, 1})});
  EXPECT_EQ(path, (Path{{1, 2}, {0, 1}}));
  EXPECT_EQ(einsum_path("ij->i", {zeros({2, 2})}).first, (Path{{0}}));
  EXPECT_EQ(einsum_path("i,j->ij", {zeros({2}), zeros({2})}).first, (Path{{0, 1}}));
  EXPECT_NE(text.find("10200"), std::string::npos) << text;
  // More than are tried in all orders.
  std::string chain = "ab";
  Arrays in{operand({2, 2}, 0)};
  for (char c = 'b'; c < 'n'; ++c)
    chain += std::string(",") + c + char(c + 1), in.push_back(operand({2, 2}, c));
  array product = in[0];
  for (size_t i = 1; i < in.size(); ++i) product = matmul(product, in[i]);
  EXPECT_TRUE(allclose(einsum(chain + "->an", in), product).item<bool>());
}

TEST(Einsum, RefusesWhatMeansNothing) {
  const array m = zeros({2, 3});
  for (const auto& [text, in] : std::vector<std::pair<std::string, Arrays>>{{"ij", {}},
                                                                            {"ij,jk", {m}},
                                                                            {"ij", {m, m}},
                                                                            {"ijk", {m}},
                                                                            {"i", {m}},
                                                                            {"ij,jk->ik", {m, m}},
                                                                            {"ij->ik", {m}},
                                                                            {"ij->ii", {m}},
                                                                            {"ij->i->j", {m}},
                                                                            {"i1", {m}},
                                                                            {"i..", {m}},
                                                                            {"...i...", {m}},
                                                                            {"ii", {m}},
                                                                            {"", {m}}})
    EXPECT_THROW(einsum(text, in), std::invalid_argument) << text;
  EXPECT_THROW(einsum_path("ij", {}), std::invalid_argument);
}

}  // namespace
}  // namespace hearth
