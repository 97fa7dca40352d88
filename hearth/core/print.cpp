// Arrays as text, in NumPy's manner; and what else of an array can be put into a stream.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <string_view>

#include "hearth/core/array.h"
#include "hearth/core/primitive.h"
#include "hearth/core/utils.h"

namespace hearth {

namespace {

constexpr int kWhole = 1000;          // arrays of more elements are shortened
constexpr int kEdge = 3;              // elements kept at each end of an axis
constexpr size_t kMostText = 100000;  // many short axes: what comes after is cut

std::atomic<int> precision{6};

// "1.0", "1.5", "1e+20", "nan": never taken for an integer, and NaN has no sign.
std::string number_text(double v) {
  if (std::isnan(v)) return "nan";
  char text[32];
  std::snprintf(text, sizeof text, "%.*g", precision.load(std::memory_order_relaxed), v);
  const bool whole = std::string_view(text).find_first_not_of("-0123456789") == std::string::npos;
  return whole ? std::string(text) + ".0" : text;
}

std::string element(const void* p, Dtype d) {
  switch (kind_of(d)) {
    case Kind::b: return load_element<bool>(p, d) ? "True" : "False";
    case Kind::u: return std::to_string(load_element<uint64_t>(p, d));
    case Kind::i: return std::to_string(load_element<int64_t>(p, d));
    case Kind::f: return number_text(load_element<double>(p, d));
    case Kind::c: break;
  }
  const auto z = load_element<complex64_t>(p, d);
  const std::string imaginary = number_text(z.imag());
  return number_text(z.real()) + (imaginary[0] == '-' ? "" : "+") + imaginary + "j";
}

void write(std::string& to, const Node& n, const std::byte* p, size_t axis, bool shorten) {
  if (axis == n.shape.size()) {
    to += element(p, n.dtype);
    return;
  }
  to += '[';
  const int size = n.shape[axis];
  for (int i = 0; i < size; ++i) {
    if (i > 0) to += axis + 1 == n.shape.size() ? ", " : ",\n" + std::string(7 + axis, ' ');
    if (shorten && size > 2 * kEdge && i == kEdge) {
      to += "...";
      i = size - kEdge - 1;
      continue;
    }
    if (to.size() > kMostText) {
      to += "...";
      break;
    }
    write(to, n, p + i * n.strides[axis] * int64_t(size_of(n.dtype)), axis + 1, shorten);
  }
  to += ']';
}

}  // namespace

void set_printoptions(PrintOptions options) {
  check(options.precision >= -1 && options.precision <= 17, "set_printoptions: ", options.precision,
        " digits; wanted 0 to 17, or -1 for the usual ones");
  precision = options.precision < 0 ? 6 : options.precision;
}

std::string to_string(const array& a) {
  a.eval();
  std::string text = "array(";
  const Node& n = a.node();
  n.storage->on(host_memory());
  if (a.size() == 0)
    text += concat("[], shape=", a.shape());
  else
    write(text, n, n.data(), 0, a.size() > kWhole);
  return concat(text, ", dtype=", a.dtype(), ")");
}

std::ostream& operator<<(std::ostream& out, const array& a) { return out << to_string(a); }
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }
std::ostream& operator<<(std::ostream& out, Dtype d) { return out << to_string(d); }
std::ostream& operator<<(std::ostream& out, Device device) { return out << to_string(device); }
std::ostream& operator<<(std::ostream& out, Stream stream) { return out << to_string(stream); }
std::ostream& operator<<(std::ostream& out, Kind kind) {
  return out << "buifc"[static_cast<size_t>(kind)];
}

}  // namespace hearth
