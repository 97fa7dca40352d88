// Sums of products by Einstein's notation.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hearth/core/array.h"

namespace hearth {

/// einsum("bij,jk->bik", {x, w}): an axis is named by a letter; letters that the result lacks are
/// summed over; one letter twice in an operand takes the diagonal; "..." stands for axes that
/// broadcast. Without "->" the result has the letters that occur once, in the order of the
/// alphabet. Operands are contracted two at a time in the order of einsum_path. The dtypes are
/// promoted.
array einsum(const std::string& subscripts, const Arrays& operands, StreamOrDevice s = {});

/// The order of contractions with the fewest multiplications, of up to 10 operands; of more, the
/// cheapest one next. Each step names the operands that it takes from the list; its result goes to
/// the list's end. And a text that says what it costs.
std::pair<std::vector<std::vector<int>>, std::string> einsum_path(const std::string& subscripts,
                                                                  const Arrays& operands);

}  // namespace hearth
