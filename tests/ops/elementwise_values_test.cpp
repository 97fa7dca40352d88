// Every elementwise operation on every dtype, layout and instruction set, against NumPy and mpmath.
#include <set>

#include "hearth/backend/cpu/isa.h"
#include "tests/cases.h"

namespace hearth {
namespace {

using namespace testing;

class ElementwiseValues : public ::testing::TestWithParam<std::tuple<Dtype, cpu::Isa>> {
 protected:
  void SetUp() override { cpu::set_isa(std::get<1>(GetParam())); }
  void TearDown() override { cpu::set_isa(cpu::isa_levels().back()); }
  std::vector<Case> cases() const { return elementwise_cases(std::get<0>(GetParam())); }
};

TEST_P(ElementwiseValues, AreThoseOfNumPy) {
  for (const Case& c : cases()) expect_case(c, c.run(c.in), "contiguous");
}

TEST_P(ElementwiseValues, DoNotDependOnTheLayout) {
  for (const Case& c : cases()) {
    std::vector<std::vector<std::pair<std::string, array>>> operands;
    for (const array& x : c.in) operands.push_back(layouts(x));
    for (size_t i = 0; i < operands[0].size(); ++i) {
      Arrays in;  // each operand lies differently
      for (size_t k = 0; k < c.in.size(); ++k)
        in.push_back(operands[k][(i + k) % operands[k].size()].second);
      expect_case(c, c.run(in), operands[0][i].first);
    }
    // As the columns of a matrix, the first operand row-major.
    Arrays columns;
    for (const array& x : c.in) {
      const array matrix = stack({x, x}, columns.empty() ? 0 : 1);
      columns.push_back(columns.empty() ? matrix : transpose(matrix));
    }
    expect_case(c, slice(c.run(columns), {1, 0}, {2, c.in[0].shape(0)}), "transposed");
  }
}

TEST_P(ElementwiseValues, OfNothingAreNothing) {
  for (const Case& c : cases()) {
    Arrays none;
    for (const array& x : c.in) none.push_back(zeros({0, 3}, x.dtype()));
    const array out = c.run(none);
    EXPECT_EQ(out.shape(), (Shape{0, 3}));
    EXPECT_EQ(out.dtype(), c.dtype) << c.name;
    out.eval();
  }
}

// A line without expected values is a line that nothing holds to its meaning.
TEST(ElementwiseGoldens, EveryLineOfTheTableHasThemForEachOfItsDtypes) {
  for (int d = 0; d < kDtypes; ++d) {
    std::set<std::string> found;
    for (const Case& c : elementwise_cases(Dtype(d))) found.insert(c.name);
    for (int op = 0; op < kElementOps; ++op) {
      const ElementOpInfo& about = info(ElementOp(op));
      if (ElementOp(op) == ElementOp::astype || !about.accepts(Dtype(d))) continue;
      EXPECT_TRUE(found.count(std::string(about.name)))
          << about.name << " of " << Dtype(d) << ": tools/goldens_elementwise.py makes them";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseValues,
                         ::testing::Combine(::testing::ValuesIn([] {
                                              std::vector<Dtype> all;
                                              for (int i = 0; i < kDtypes; ++i)
                                                all.push_back(Dtype(i));
                                              return all;
                                            }()),
                                            ::testing::ValuesIn(cpu::isa_levels().begin(),
                                                                cpu::isa_levels().end())),
                         [](const auto& info) {
                           return std::string(to_string(std::get<0>(info.param))) + "_" +
                                  std::string(to_string(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace hearth
