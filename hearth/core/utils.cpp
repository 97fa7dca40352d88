#include "hearth/core/utils.h"

#include <cmath>
#include <set>

#include "hearth/core/available.h"
#include "hearth/core/backend.h"

namespace hearth {

namespace {

Category category_of(Dtype d) {
  switch (kind_of(d)) {
    case Kind::b: return Category::generic;
    case Kind::u: return Category::unsignedinteger;
    case Kind::i: return Category::signedinteger;
    case Kind::f: return Category::floating;
    case Kind::c: break;
  }
  return Category::complexfloating;
}
Category above(Category c) {
  switch (c) {
    case Category::complexfloating:
    case Category::floating: return Category::inexact;
    case Category::signedinteger:
    case Category::unsignedinteger: return Category::integer;
    case Category::inexact:
    case Category::integer: return Category::number;
    case Category::number:
    case Category::generic: break;
  }
  return Category::generic;
}

}  // namespace

bool issubdtype(Dtype a, Dtype b) { return a == b; }
bool issubdtype(Category, Dtype) { return false; }  // a family is more than one of it
bool issubdtype(Dtype a, Category b) { return issubdtype(category_of(a), b); }
bool issubdtype(Category a, Category b) {
  while (a != b && a != Category::generic) a = above(a);
  return a == b;
}

Dtype result_type(const Arrays& arrays) {
  Dtype d = bool_;
  for (const array& a : arrays) d = promote_types(d, a.dtype());
  return d;
}

finfo::finfo(Dtype dtype) : dtype(dtype == complex64 ? float32 : dtype) {
  check(is_inexact(dtype), "finfo: ", dtype, " is not a floating dtype; iinfo has the integers");
  bits = int(size_of(dtype)) * (is_complex(dtype) ? 4 : 8);
  // Digits of the significand, and the exponent of the first number that is too large.
  const int digits = bits == 64 ? 53 : bits == 32 ? 24 : dtype == float16 ? 11 : 8;
  const int end = bits == 64 ? 1024 : dtype == float16 ? 16 : 128;
  eps = std::ldexp(1.0, 1 - digits);
  max = std::ldexp(2 - eps, end - 1);
  min = -max;
  smallest_normal = std::ldexp(1.0, 2 - end);
}

iinfo::iinfo(Dtype dtype) : dtype(dtype) {
  check(is_integer(dtype), "iinfo: ", dtype, " is not an integer; finfo has the floats");
  visit(Integers{}, dtype, "iinfo", [&]<class T>() {
    min = int64_t(std::numeric_limits<T>::min());
    max = uint64_t(std::numeric_limits<T>::max());
  });
}

int next_power_of_2(int n) {
  check<std::overflow_error>(n <= 1 << 30, "next_power_of_2: an int holds none above ", n);
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

bool is_main_thread() {
  static const std::thread::id first = std::this_thread::get_id();
  return std::this_thread::get_id() == first;
}

size_t get_array_buffer_size(const Arrays& arrays) {
  std::set<const Storage*> seen;
  size_t bytes = 0;
  for (const array& a : arrays) {
    check(a.status() != array::Status::unscheduled,
          "get_array_buffer_size: an array is not computed; eval comes first");
    a.wait();
    if (a.size() == 0) continue;
    const Storage& storage = *a.node().storage;
    if (seen.insert(&storage).second) bytes += storage.buffer.size;
  }
  return bytes;
}

DeviceInfo device_info(Device device) {
  check_available(device, "device_info");
  Backend& b = *backend(device.type);
  DeviceInfo info{{"device_name", b.describe(device.index)}};
  const DeviceMemory memory = b.memory(device.index);
  if (memory.total > 0) info["total_memory"] = memory.total;
  if (memory.free > 0) info["free_memory"] = memory.free;
  return info;
}

}  // namespace hearth
