// How a Fourier transform of one size is computed: the steps, and the roots of 1 that they need.
#pragma once
#include <memory>
#include <vector>

namespace hearth::cpu {

/// Numbers as real and imaginary parts apart, which vectorises.
template <class R>
struct Parts {
  R* re;
  R* im;
};

/// Stockham's algorithm by the factors 4, 2, 3, 5, 7 and other primes up to 61; of sizes with a
/// larger prime Bluestein's, which makes it a product of transforms of powers of 2.
template <class R>
class FourierPlan {
 public:
  explicit FourierPlan(int n);
  ~FourierPlan();
  int size() const { return n_; }
  /// x becomes sum over j of x[j] exp(-2 pi i j k / n); exchanging re and im gives the inverse.
  /// `work` is of work_size() numbers.
  void run(Parts<R> x, R* work) const;
  size_t work_size() const;

 private:
  struct Step {
    int radix, rest, stride;  // the length that is left, and how many are done side by side
    std::vector<R> re, im;    // exp(-2 pi i p j / (radix rest)), p < rest, 1 <= j < radix
  };
  struct Bluestein;
  int n_;
  std::vector<Step> steps_;
  std::vector<double> roots_re_, roots_im_;  // of each prime radix, for those without a formula
  std::unique_ptr<Bluestein> bluestein_;
};

/// The plan of that size, made once and kept while it is among the last used.
std::shared_ptr<const FourierPlan<float>> fourier_plan(int n);

}  // namespace hearth::cpu
