// Whether a sanitizer watches: it reserves terabytes of addresses, and unoptimised loops take long.
#pragma once

namespace hearth::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#elif defined(__has_feature)
constexpr bool kInstrumented = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kInstrumented = false;
#endif

}  // namespace hearth::testing
