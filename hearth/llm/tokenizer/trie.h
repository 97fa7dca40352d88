// A set of texts, each with a value, that a text is compared with byte by byte.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::llm {

class Trie {
 public:
  static constexpr int kRoot = 0;

  struct Found {
    size_t length;
    int value;
  };

  Trie() : Trie(std::vector<std::pair<std::string_view, int>>{}) {}
  /// The values are at least 0. Of a text that is given twice the later value counts; an empty text
  /// is passed over.
  explicit Trie(std::vector<std::pair<std::string_view, int>> texts);

  bool empty() const { return labels_.size() == 1; }
  /// Whether any text begins with `byte`.
  bool begins(char byte) const { return roots_[static_cast<unsigned char>(byte)] >= 0; }

  /// The node that `byte` leads to from `node`, -1 if there is none.
  int step(int node, char byte) const {
    if (node == kRoot) return roots_[static_cast<unsigned char>(byte)];
    const auto wanted = static_cast<unsigned char>(byte);
    uint32_t low = children_[node], high = children_[node + 1];
    while (high - low > 8) {
      const uint32_t middle = (low + high) / 2;
      (labels_[middle] <= wanted ? low : high) = middle;
    }
    for (; low < high; ++low)
      if (labels_[low] == wanted) return static_cast<int>(low);
    return -1;
  }
  /// The value of the text that ends at `node`, -1 if none does.
  int value(int node) const { return values_[node]; }

  /// The longest of the texts that `text` begins with.
  std::optional<Found> longest(std::string_view text) const;

 private:
  // Nodes are numbered level by level, so that the children of one stand side by side.
  std::vector<unsigned char> labels_;  // of the byte that leads to a node
  std::vector<uint32_t> children_;     // of node n: children_[n] to children_[n + 1]
  std::vector<int> values_;
  int roots_[256];
};

}  // namespace hearth::llm
