#!/bin/sh
# Proves docs/add_an_op.md: applies the diff that stands there to a copy of the tree, builds it, and
# checks the new operation's value, dtypes, layouts and gradient.
set -eu
cd "$(dirname "$0")/.."
copy=build/prove
rm -rf "$copy"
mkdir -p "$copy"
git ls-files | grep -v '^models/tiny-phi\|^tests/data' | tar -cf - -T - | tar -xf - -C "$copy"
sed -n '/^```diff$/,/^```$/p' docs/add_an_op.md | sed '1d;$d' | patch -s -p1 -d "$copy"

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
cmake -S "$copy" -B "$copy/build/release" -G Ninja -DHEARTH_TESTS=OFF -DHEARTH_BENCH=OFF >/dev/null
cmake --build "$copy/build/release" --target example_softsign
"$copy/build/release/example_softsign"
