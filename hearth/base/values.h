// Structs with HEARTH_FIELDS as values: compared, hashed and written out, field by field. Fields
// are integers, floats (as their bits: NaN equals itself, -0 is not 0), enums, strings, optional
// ones, lists of these, structs with HEARTH_FIELDS, and pointers (by address).
#pragma once
#include <bit>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "hearth/base/fields.h"

namespace hearth {

template <class T>
concept HasFields = requires(const T& v) {
  v.tied();
  T::field_names();
};

namespace detail {

template <class T>
concept Text = std::convertible_to<const T&, std::string_view>;
template <class T>
concept List = !Text<T> && requires(const T& v) {
  typename T::value_type;
  v.size();
  v[0];
};
template <class T>
concept Bytes = List<T> && std::same_as<typename T::value_type, std::byte>;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
concept Pointer = requires(const T& v) {
  *v;
  v == nullptr;
};
template <class>
inline constexpr bool kNoValue = false;

constexpr uint64_t mixed(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}
constexpr uint64_t mixed(uint64_t h, std::string_view text) {
  for (char c : text) h = mixed(h, uint64_t(uint8_t(c)));
  return mixed(h, text.size());
}

// A number, an enum or a pointer as its bits.
template <class T>
uint64_t bits(const T& v) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>(v);
  else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>)
    return uint64_t(v);
  else if constexpr (Pointer<T>)
    return v == nullptr ? 0 : uint64_t(reinterpret_cast<uintptr_t>(std::addressof(*v)));
  else
    static_assert(kNoValue<T>, "HEARTH_FIELDS: this member cannot be compared; see base/values.h");
}

}  // namespace detail

/// Is every field the same?
template <class T>
bool same(const T& a, const T& b) {
  using namespace detail;
  if constexpr (HasFields<T>) {
    return [&]<size_t... i>(std::index_sequence<i...>, [[maybe_unused]] const auto& x,
                            [[maybe_unused]] const auto& y) {
      return (same(std::get<i>(x), std::get<i>(y)) && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(a.tied())>>(), a.tied(), b.tied());
  } else if constexpr (Text<T>) {
    return std::string_view(a) == std::string_view(b);
  } else if constexpr (is_optional<T>) {
    return a && b ? same(*a, *b) : a.has_value() == b.has_value();
  } else if constexpr (List<T>) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
      if (!same<typename T::value_type>(a[i], b[i])) return false;
    return true;
  } else {
    return bits(a) == bits(b);
  }
}

/// `h` continued by all fields.
template <class T>
uint64_t hash_of(const T& v, uint64_t h = 0) {
  using namespace detail;
  if constexpr (HasFields<T>) {
    std::apply([&](const auto&... field) { ((h = hash_of(field, h)), ...); }, v.tied());
    return h;
  } else if constexpr (Text<T>) {
    return mixed(h, std::string_view(v));
  } else if constexpr (is_optional<T>) {
    return v ? hash_of(*v, mixed(h, 1)) : mixed(h, 0);
  } else if constexpr (List<T>) {
    for (size_t i = 0; i < v.size(); ++i) h = hash_of<typename T::value_type>(v[i], h);
    return mixed(h, v.size());
  } else {
    return mixed(h, bits(v));
  }
}

template <class T>
void append_text(std::string& out, const T& v);

/// "axis=1, keepdims=true"
template <HasFields T>
void append_fields(std::string& out, const T& v) {
  bool first = true;
  v.fields([&](const char* name, const auto& field) {
    if (!std::exchange(first, false)) out += ", ";
    out.append(name).append("=");
    append_text(out, field);
  });
}
template <HasFields T>
std::string fields_text(const T& v) {
  std::string out;
  append_fields(out, v);
  return out;
}

/// A field as text; another value gives another text.
template <class T>
void append_text(std::string& out, const T& v) {
  using namespace detail;
  if constexpr (HasFields<T>) {
    out += '{';
    append_fields(out, v);
    out += '}';
  } else if constexpr (Text<T>) {
    out.append("\"").append(std::string_view(v)).append("\"");
  } else if constexpr (is_optional<T>) {
    v ? append_text(out, *v) : void(out += "none");
  } else if constexpr (Bytes<T>) {  // as one number, the first byte the lowest
    out += "0x";
    for (size_t i = v.size(); i-- > 0;)
      for (int nibble : {4, 0}) out += "0123456789abcdef"[int(v[i]) >> nibble & 15];
  } else if constexpr (List<T>) {
    out += '[';
    for (size_t i = 0; i < v.size(); ++i) {
      if (i > 0) out += ", ";
      append_text<typename T::value_type>(out, v[i]);
    }
    out += ']';
  } else if constexpr (std::is_same_v<T, bool>) {
    out += v ? "true" : "false";
  } else if constexpr (std::is_enum_v<T> && requires { std::string_view(to_string(v)); }) {
    out += to_string(v);
  } else {
    char text[32];
    char* end = nullptr;
    if constexpr (std::is_integral_v<T>) {
      end = std::to_chars(text, text + sizeof text, v).ptr;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (v == v)
        end = std::to_chars(text, text + sizeof text, v).ptr;
      else
        out += "nan:";
    }
    if (!end) end = std::to_chars(text, text + sizeof text, bits(v)).ptr;
    out.append(text, end);
  }
}

template <class T>
std::string text_of(const T& v) {
  std::string out;
  append_text(out, v);
  return out;
}

/// What two libraries must agree on to exchange a T: the names, sizes and kinds of its fields.
template <class T>
consteval uint64_t layout_of() {
  using namespace detail;
  uint64_t h = mixed(sizeof(T), alignof(T));
  if constexpr (HasFields<T>) {
    h = mixed(h, std::string_view(T::field_names()));
    using Fields = decltype(std::declval<const T&>().tied());
    [&]<size_t... i>(std::index_sequence<i...>) {
      ((h = mixed(h, layout_of<std::remove_cvref_t<std::tuple_element_t<i, Fields>>>())), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<Fields>>());
  } else if constexpr (is_optional<T> || List<T>) {
    h = mixed(h, layout_of<typename T::value_type>());
  } else {
    h = mixed(h, uint64_t(std::is_floating_point_v<T>) << 2 | uint64_t(std::is_signed_v<T>) << 1 |
                     uint64_t(std::is_enum_v<T>));
  }
  return h;
}

}  // namespace hearth
