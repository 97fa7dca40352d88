#include "hearth/llm/row_samplers.h"

#include <algorithm>

#include "hearth/ops/ops.h"

namespace hearth::llm {

RowSamplers::RowSamplers(std::unique_ptr<Sampler> sampler) {
  parts_.push_back({std::move(sampler), {0}});
}

RowSamplers::RowSamplers(std::span<const Row> rows) {
  std::vector<std::pair<std::vector<Sampler::Row>, std::vector<int>>> alike;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Sampler::Row row = rows[i].from->at(rows[i].row);
    auto same = std::ranges::find_if(
        alike, [&](const auto& some) { return some.first[0].of->same_rules(*row.of); });
    if (same == alike.end()) same = alike.emplace(alike.end());
    same->first.push_back(row);
    same->second.push_back(int(i));
  }
  std::vector<int> places(rows.size());
  int place = 0;
  for (auto& [of, which] : alike) {
    for (const int row : which) places[size_t(row)] = place++;
    parts_.push_back({std::make_unique<Sampler>(of), std::move(which)});
  }
  if (!std::ranges::is_sorted(places)) places_.emplace(places.begin(), Shape{place}, int32);
}

Sampler::Row RowSamplers::at(int row) const {
  for (const Part& part : parts_) {
    const auto found = std::ranges::find(part.rows, row);
    if (found != part.rows.end()) return {part.sampler.get(), int(found - part.rows.begin())};
  }
  check(false, "RowSamplers: there is no row ", row);
  return {};
}

array RowSamplers::operator()(const array& logits) {
  if (parts_.size() == 1) return (*parts_[0].sampler)(logits);
  Arrays ids;
  for (const Part& part : parts_) {
    const int first = part.rows.front(), n = int(part.rows.size());
    const bool together = part.rows.back() - first + 1 == n;
    ids.push_back(
        (*part.sampler)(together ? slice(logits, {first, 0}, {first + n, logits.shape(1)})
                                 : take(logits, array(part.rows.begin(), Shape{n}, int32), 0)));
  }
  const array all = concatenate(ids, 0);
  return places_ ? take(all, *places_, 0) : all;
}

Arrays RowSamplers::state() const {
  Arrays all;
  for (const Part& part : parts_)
    for (const array& one : part.sampler->state()) all.push_back(one);
  return all;
}

void RowSamplers::set_state(const Arrays& state) {
  auto next = state.begin();
  for (const Part& part : parts_) {
    const auto end = next + long(part.sampler->state().size());
    part.sampler->set_state(Arrays(next, end));
    next = end;
  }
}

}  // namespace hearth::llm
