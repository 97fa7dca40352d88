#include "hearth/llm/tokenizer/trie.h"

#include <algorithm>

namespace hearth::llm {

Trie::Trie(std::vector<std::pair<std::string_view, int>> texts) {
  std::stable_sort(texts.begin(), texts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Range {
    size_t first, last, depth;  // the texts that share the way to a node
  };
  std::vector<Range> nodes = {{0, texts.size(), 0}};
  labels_.push_back(0);
  for (size_t n = 0; n < nodes.size(); ++n) {
    auto [first, last, depth] = nodes[n];
    int value = -1;
    for (; first < last && texts[first].first.size() == depth; ++first) value = texts[first].second;
    values_.push_back(depth > 0 ? value : -1);
    children_.push_back(static_cast<uint32_t>(nodes.size()));
    while (first < last) {
      const char label = texts[first].first[depth];
      size_t end = first + 1;
      while (end < last && texts[end].first[depth] == label) ++end;
      nodes.push_back({first, end, depth + 1});
      labels_.push_back(static_cast<unsigned char>(label));
      first = end;
    }
  }
  children_.push_back(static_cast<uint32_t>(nodes.size()));
  std::fill(std::begin(roots_), std::end(roots_), -1);
  for (uint32_t child = children_[kRoot]; child < children_[kRoot + 1]; ++child)
    roots_[labels_[child]] = static_cast<int>(child);
}

std::optional<Trie::Found> Trie::longest(std::string_view text) const {
  std::optional<Found> found;
  int node = kRoot;
  for (size_t i = 0; i < text.size(); ++i) {
    node = step(node, text[i]);
    if (node < 0) break;
    if (value(node) >= 0) found = Found{i + 1, value(node)};
  }
  return found;
}

}  // namespace hearth::llm
