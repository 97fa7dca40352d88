// A result as people are shown it.
#pragma once
#include "hearth/lab/result/result.h"

namespace hearth::lab {

/// Every text in it in one line that no terminal obeys (show/text.h): what is made of it cannot be
/// led astray by a name. Labels stay unique.
Result plain(Result result);

}  // namespace hearth::lab
