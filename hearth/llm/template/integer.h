// Whole numbers beyond 64 bits, as Python has them: ids in tool calls, mostly. Bounded: Python
// refuses to write more than 4,300 digits, and so does this.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::llm::jinja {

class Integer {
 public:
  Integer(int64_t value = 0);
  /// Decimal digits, perhaps with a sign. Throws for more than kMostDigits.
  static Integer parse(std::string_view digits);
  /// The whole part of a finite number.
  static Integer truncated(double value);

  std::optional<int64_t> small() const;  // if it fits
  double number() const;
  bool negative() const { return negative_; }
  bool zero() const { return limbs_.empty(); }
  Integer operator-() const;

  friend Integer operator+(const Integer& a, const Integer& b);
  friend Integer operator-(const Integer& a, const Integer& b) { return a + -b; }
  friend Integer operator*(const Integer& a, const Integer& b);
  /// The quotient rounded towards minus infinity, and what remains, with the sign of b, not 0.
  struct Division;
  friend Division divide(const Integer& a, const Integer& b);
  friend int compare(const Integer& a, const Integer& b);  // below 0, 0, above 0
  friend std::string to_string(const Integer& n);

  static constexpr size_t kMostDigits = 4300;

 private:
  void settle();  // no leading zeros, no -0, not too long

  bool negative_ = false;
  std::vector<uint32_t> limbs_;  // base 10^9, the lowest first
};

struct Integer::Division {
  Integer quotient, rest;
};
Integer::Division divide(const Integer& a, const Integer& b);
int compare(const Integer& a, const Integer& b);
std::string to_string(const Integer& n);

}  // namespace hearth::llm::jinja
