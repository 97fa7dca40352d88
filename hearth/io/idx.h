// Arrays in idx files, as MNIST's images and labels are stored, plain or compressed by gzip.
#pragma once
#include <string>

#include "hearth/core/array.h"

namespace hearth {

/// The array of an idx file: mapped where its elements are bytes, else read and turned to this
/// machine's order of bytes. Whether it is compressed follows from its content. Throws
/// std::runtime_error naming the file and its fault: no idx, cut short or longer than its header
/// says, damaged. No memory is taken that the size of the file does not warrant.
array load_idx(const std::string& file);

}  // namespace hearth
