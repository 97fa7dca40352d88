// What the codes of packings mean that are no numbers themselves.
#pragma once
#include <cstdint>

namespace hearth {

inline constexpr int8_t kIq4[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
/// e2m1, twice the values so that they are whole.
inline constexpr int8_t kFp4Twice[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace hearth
