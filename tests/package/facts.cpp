// A program on the lab alone: compares the times of two engines, and says what the machine is.
#include <cmath>
#include <iostream>

#include "hearth/lab/judge/stats.h"
#include "hearth/lab/measure/machine.h"

int main() {
  using namespace hearth::lab;
  const std::vector<double> ratios{0.70, 0.68, 0.69, 0.71, 0.69, 0.70};  // logs: twice as fast
  const PairedRatio found = paired_ratio(ratios);
  const Facts facts = read_facts();
  std::cout << "A is " << to_string(found.verdict) << " on " << facts.processor.value.value_or("?")
            << '\n';
  return found.verdict == Verdict::faster ? 0 : 1;
}
