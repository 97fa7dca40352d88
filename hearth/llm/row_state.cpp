#include "hearth/llm/row_state.h"

#include "hearth/ops/ops.h"

namespace hearth::llm {

void check_fits(const CacheShape& shape, const RowState& state) {
  check(state.length >= 0 && state.length <= shape.context_length, "state: it has ", state.length,
        " tokens, the context is ", shape.context_length);
  check(state.read_as >= state.length && state.mark >= 0 && state.mark <= state.length,
        "state: of ", state.length, " tokens, read as ", state.read_as, " and marked at ",
        state.mark);
  const auto check_layers = [&](const std::vector<Arrays>& layers, bool marked) {
    check(layers.size() == shape.layers.size(), "state: it has ", layers.size(),
          " layers, the model ", shape.layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      const StateShape& layer = shape.layers[i];
      const bool fixed = layer.kind == StateShape::fixed;
      const bool has = fixed || (layer.kind == StateShape::positions && !marked);
      check(layers[i].size() == (has ? layer.parts.size() : 0), "state: layer ", i, " has ",
            layers[i].size(), " parts, wanted ", has ? layer.parts.size() : 0);
      for (size_t p = 0; p < layers[i].size(); ++p) {
        const array& x = layers[i][p];
        check(x.dtype() == shape.dtype_of(layer), "state: layer ", i, " is of ", x.dtype(),
              ", wanted ", shape.dtype_of(layer));
        Shape wanted = layer.parts[p];
        if (!fixed) {
          const int needed =
              layer.window > 0 ? std::min(state.length, layer.window - 1) : state.length;
          const int kept = x.ndim() == 3 ? x.shape(1) : -1;
          check(kept >= needed && kept <= state.length, "state: layer ", i, " has the shape ",
                x.shape(), ", wanted from ", needed, " to ", state.length, " positions, of ",
                wanted);
          wanted = {wanted[0], kept, int(state_row(shape.state, wanted[1]))};
        }
        check(x.shape() == wanted, "state: layer ", i, " has the shape ", x.shape(), ", wanted ",
              wanted);
      }
    }
  };
  check_layers(state.layers, false);
  if (state.mark > 0)
    check_layers(state.marked, true);
  else
    check(state.marked.empty(), "state: it has a mark at no token");
}

std::optional<RowState> first_tokens(const CacheShape& shape, const RowState& state, int length) {
  if (length < 0 || length > state.length) return {};
  if (length == state.length) return state;
  RowState first{.length = length, .read_as = length == 0 ? 0 : state.read_as};
  for (size_t i = 0; i < state.layers.size(); ++i) {
    const StateShape& layer = shape.layers[i];
    Arrays& parts = first.layers.emplace_back();
    for (size_t p = 0; p < state.layers[i].size(); ++p) {
      const array& x = state.layers[i][p];
      if (layer.kind == StateShape::fixed) {
        if (length > 0 && length != state.mark) return {};
        parts.push_back(length > 0 ? state.marked[i][p] : zeros_like(x));
        continue;
      }
      const int kept = x.shape(1), from = state.length - kept;  // of what is kept
      if (!window_holds(layer, from, length)) return {};
      const int count = std::max(0, length - from);
      parts.push_back(slice(x, {0, 0, 0}, {x.shape(0), count, x.shape(2)}));
    }
  }
  if (length > 0 && length >= state.mark) first.mark = state.mark, first.marked = state.marked;
  return first;
}

}  // namespace hearth::llm
