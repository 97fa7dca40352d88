// What the charts of a report have in common.
#pragma once
#include <algorithm>
#include <string>

#include "hearth/base/error.h"
#include "hearth/lab/show/svg.h"

namespace hearth::lab {

/// A chart, with the name of its file and what stands above it and below it.
struct Chart {
  std::string name, heading, caption;
  Svg svg;
};

/// Charts are as wide as a phone's screen, so that their text keeps its size there.
constexpr double kChartWidth = 400, kChartEdge = 8;

/// The classes of an engine's lines and areas, by its index in the result.
inline std::string line_of(size_t engine) { return concat("s", engine); }
inline std::string area_of(size_t engine) { return concat("f", engine); }

/// The lines and labels of an axis along the bottom: of those ticks whose labels have room.
template <class Place, class Label>
void draw_ticks(Svg& svg, const std::vector<double>& ticks, Place&& place, Label&& label,
                double top, double bottom) {
  double taken = -1e9;  // up to here
  for (const double tick : ticks) {
    const std::string text = label(tick);
    const double half = text_width(text) / 2;
    const double x = std::clamp(place(tick), 2 + half, kChartWidth - 2 - half);
    if (x - half < taken + 8) continue;
    taken = x + half;
    svg.line(place(tick), top, place(tick), bottom, "grid");
    svg.text(x, bottom + 13, text, "dim", Svg::Anchor::middle);
  }
}

}  // namespace hearth::lab
