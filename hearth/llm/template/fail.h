// Throws jinja::Error with the parts joined.
#pragma once
#include "hearth/base/error.h"
#include "hearth/llm/template/value.h"

namespace hearth::llm::jinja {

template <class... Parts>
void fail(const Parts&... parts) {
  throw Error(concat(parts...));
}

}  // namespace hearth::llm::jinja
