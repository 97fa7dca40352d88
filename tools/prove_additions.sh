#!/bin/sh
# Proves docs/add_an_op.md and docs/add_a_model.md: applies the diffs that stand there to a copy of
# the tree, builds it, and checks the new operation's value, dtypes, layouts and gradient, and the
# new model's logits and greedy tokens.
set -eu
cd "$(dirname "$0")/.."
copy=build/prove
rm -rf "$copy"
mkdir -p "$copy/tests/data/models"
git ls-files | grep -v '^models/tiny-phi\|^tests/data/[^/]*$\|^tests/data/models' | tar -cf - -T - | tar -xf - -C "$copy"
for page in an_op a_model; do
  sed -n '/^```diff$/,/^```$/p' "docs/add_$page.md" | sed '1d;$d' | patch -s -p1 -d "$copy"
done

cat > "$copy/examples/softsign.cpp" <<'PROOF'
#include <cmath>
#include <cstdio>

#include "hearth/ops/ops.h"
#include "hearth/transforms/grad.h"
using namespace hearth;

int main() {
  int bad = 0;
  const array x = transpose(reshape(linspace(-8, 8, 96), {8, 12}));
  for (Dtype d : {float16, bfloat16, float32, float64}) {
    const array in = astype(x, d), y = softsign(in);
    const auto got = y.to_vector<double>(), from = in.to_vector<double>();
    const double step = d == float16 ? 1e-3 : d == bfloat16 ? 8e-3 : 1e-6;
    for (size_t i = 0; i < got.size(); ++i) bad += !(std::abs(got[i] - from[i] / (1 + std::abs(from[i]))) <= step);
    bad += y.dtype() != d;
  }
  const auto f = [](const array& v) { return sum(softsign(v)); };
  const auto slope = grad(UnaryFunction(f))(x).to_vector<double>(), at = x.to_vector<double>();
  for (size_t i = 0; i < at.size(); ++i) {
    const auto s = [](double v) { return v / (1 + std::abs(v)); };
    bad += !(std::abs(slope[i] - (s(at[i] + 1e-5) - s(at[i] - 1e-5)) / 2e-5) <= 1e-4);
  }
  std::printf("softsign: %d wrong values\n", bad);
  return bad != 0;
}
PROOF
cat > "$copy/examples/helium.cpp" <<'PROOF'
#include <cmath>
#include <cstdio>

#include "hearth/llm/generate.h"
#include "tests/llm/tiny_checkpoint.h"
namespace hearth {

std::filesystem::path testing::source_dir() { return "."; }

int proof() {
  const testing::TinyCheckpoint golden("../add_a_model");
  const auto model = llm::load_model(golden.path());
  int bad = golden.prompts.empty();
  for (const auto& prompt : golden.prompts) {
    auto cache = model->make_cache();
    const array ids(prompt.ids.begin(), Shape{1, int(prompt.ids.size())}, int32);
    const auto got = model->forward({ids, {}, false}, cache).to_vector<float>();
    for (size_t p = 0; p < prompt.logits.size(); ++p)
      for (size_t i = 0; i < prompt.logits[p].size(); ++i)
        bad += !(std::abs(got[size_t(golden.positions[p]) * prompt.logits[p].size() + i] - prompt.logits[p][i]) <= 1e-4);
    llm::GenerateOptions options;
    options.max_tokens = int(prompt.greedy.size());
    bad += llm::generate(*model, prompt.ids, options).ids != prompt.greedy;
  }
  std::printf("helium: %d wrong values\n", bad);
  return bad != 0;
}

}  // namespace hearth
int main() { return hearth::proof(); }
PROOF
cmake -S "$copy" -B "$copy/build/release" -G Ninja -DHEARTH_TESTS=OFF -DHEARTH_BENCH=OFF >/dev/null
cmake --build "$copy/build/release" --target example_softsign example_helium
"$copy/build/release/example_softsign"
(cd "$copy" && build/release/example_helium)
