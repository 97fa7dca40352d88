#include "hearth/llm/template/integer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "hearth/base/error.h"

namespace hearth::llm::jinja {

namespace {

constexpr uint64_t kBase = 1'000'000'000;
constexpr size_t kDigits = 9;
using Limbs = std::vector<uint32_t>;

void trim(Limbs& a) {
  while (!a.empty() && a.back() == 0) a.pop_back();
}
int compare(const Limbs& a, const Limbs& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  for (size_t i = a.size(); i-- > 0;)
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
}
Limbs add(const Limbs& a, const Limbs& b) {
  Limbs sum;
  uint64_t carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()) || carry; ++i) {
    carry += (i < a.size() ? a[i] : 0) + uint64_t(i < b.size() ? b[i] : 0);
    sum.push_back(uint32_t(carry % kBase));
    carry /= kBase;
  }
  return sum;
}
Limbs subtract(const Limbs& a, const Limbs& b) {  // a >= b
  Limbs rest = a;
  int64_t borrow = 0;
  for (size_t i = 0; i < rest.size(); ++i) {
    int64_t d = int64_t(rest[i]) - borrow - (i < b.size() ? int64_t(b[i]) : 0);
    borrow = d < 0;
    rest[i] = uint32_t(d + (d < 0 ? int64_t(kBase) : 0));
  }
  trim(rest);
  return rest;
}
Limbs times(const Limbs& a, uint64_t small) {
  Limbs product;
  uint64_t carry = 0;
  for (size_t i = 0; i < a.size() || carry; ++i) {
    carry += (i < a.size() ? a[i] : 0) * small;
    product.push_back(uint32_t(carry % kBase));
    carry /= kBase;
  }
  trim(product);
  return product;
}

}  // namespace

Integer::Integer(int64_t value) : negative_(value < 0) {
  for (uint64_t rest = negative_ ? -uint64_t(value) : uint64_t(value); rest; rest /= kBase)
    limbs_.push_back(uint32_t(rest % kBase));
}

Integer Integer::parse(std::string_view digits) {
  Integer n;
  const bool minus = digits.starts_with('-');
  if (minus || digits.starts_with('+')) digits.remove_prefix(1);
  check(!digits.empty() &&
            std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }),
        "not a whole number");
  check(digits.size() <= kMostDigits, "a whole number of ", digits.size(), " digits; at most ",
        kMostDigits, " are read");
  while (!digits.empty()) {
    const size_t part = std::min(digits.size(), kDigits);
    uint32_t limb = 0;
    std::from_chars(digits.data() + digits.size() - part, digits.data() + digits.size(), limb);
    n.limbs_.push_back(limb);
    digits.remove_suffix(part);
  }
  n.negative_ = minus;
  n.settle();
  return n;
}

Integer Integer::truncated(double value) { return parse(fmt::format("{:.0f}", std::trunc(value))); }

void Integer::settle() {
  trim(limbs_);
  if (limbs_.empty()) negative_ = false;
  check(limbs_.size() <= kMostDigits / kDigits + 1, "a whole number of more than ", kMostDigits,
        " digits");
}

std::optional<int64_t> Integer::small() const {
  unsigned __int128 value = 0;
  if (limbs_.size() > 3) return {};
  for (size_t i = limbs_.size(); i-- > 0;) value = value * kBase + limbs_[i];
  const unsigned __int128 most = (unsigned __int128)INT64_MAX + (negative_ ? 1 : 0);
  if (value > most) return {};
  return negative_ ? int64_t(-uint64_t(value)) : int64_t(value);
}

double Integer::number() const {
  const std::string digits = to_string(*this);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  check(error == std::errc(), "int too large to convert to float");
  return value;
}

Integer Integer::operator-() const {
  Integer n = *this;
  n.negative_ = !negative_ && !zero();
  return n;
}

Integer operator+(const Integer& a, const Integer& b) {
  Integer sum;
  if (a.negative_ == b.negative_) {
    sum.limbs_ = add(a.limbs_, b.limbs_);
    sum.negative_ = a.negative_;
  } else {
    const bool a_larger = compare(a.limbs_, b.limbs_) >= 0;
    sum.limbs_ = a_larger ? subtract(a.limbs_, b.limbs_) : subtract(b.limbs_, a.limbs_);
    sum.negative_ = a_larger ? a.negative_ : b.negative_;
  }
  sum.settle();
  return sum;
}

Integer operator*(const Integer& a, const Integer& b) {
  Integer product;
  product.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (size_t i = 0; i < a.limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.limbs_.size() || carry; ++j) {
      carry += product.limbs_[i + j];
      if (j < b.limbs_.size()) carry += uint64_t(a.limbs_[i]) * b.limbs_[j];
      product.limbs_[i + j] = uint32_t(carry % kBase);
      carry /= kBase;
    }
  }
  product.negative_ = a.negative_ != b.negative_;
  product.settle();
  return product;
}

// Limb by limb, each by halving: slow, and short enough to be seen right.
Integer::Division divide(const Integer& a, const Integer& b) {
  check(!b.zero(), "division by zero");
  Integer::Division d;
  Limbs rest;
  d.quotient.limbs_.assign(a.limbs_.size(), 0);
  for (size_t i = a.limbs_.size(); i-- > 0;) {
    rest.insert(rest.begin(), a.limbs_[i]);
    trim(rest);
    uint64_t low = 0, high = kBase - 1;
    while (low < high) {
      const uint64_t middle = (low + high + 1) / 2;
      if (compare(times(b.limbs_, middle), rest) <= 0)
        low = middle;
      else
        high = middle - 1;
    }
    rest = subtract(rest, times(b.limbs_, low));
    d.quotient.limbs_[i] = uint32_t(low);
  }
  d.rest.limbs_ = rest;
  d.quotient.negative_ = a.negative_ != b.negative_;
  d.rest.negative_ = a.negative_;
  d.quotient.settle();
  d.rest.settle();
  if (!d.rest.zero() && d.rest.negative_ != b.negative_) {
    d.quotient = d.quotient - Integer(1);
    d.rest = d.rest + b;
  }
  return d;
}

int compare(const Integer& a, const Integer& b) {
  if (a.negative_ != b.negative_) return a.negative_ ? -1 : 1;
  return a.negative_ ? compare(b.limbs_, a.limbs_) : compare(a.limbs_, b.limbs_);
}

std::string to_string(const Integer& n) {
  if (n.limbs_.empty()) return "0";
  std::string digits = n.negative_ ? "-" : "";
  digits += fmt::format("{}", n.limbs_.back());
  for (size_t i = n.limbs_.size() - 1; i-- > 0;) digits += fmt::format("{:09}", n.limbs_[i]);
  return digits;
}

}  // namespace hearth::llm::jinja
