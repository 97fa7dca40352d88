// A small writer of SVG: shapes by class, so that the page's style decides the colours of light and
// dark. The same calls give the same bytes. A colour belongs to an engine; all else is grey.
#pragma once
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::lab {

/// Text made fit for XML: &, <, >, quotes; what XML cannot hold becomes a blank or "?".
std::string escape_xml(std::string_view text);

/// The style of every chart: of engine i the classes s<i> (lines), f<i> (areas and text).
std::string chart_style(size_t engines);

/// About how wide a chart's text is; never less than what common fonts make of it.
double text_width(std::string_view text, bool bold = false);
/// A label cut at its end to what fits a width.
std::string fitted(std::string_view label, double width, bool bold = false);

class Svg {
 public:
  enum class Anchor { start, middle, end };
  using Points = std::span<const std::pair<double, double>>;

  /// `title` is what a screen reader says.
  Svg(double width, double height, std::string_view title);

  void rect(double x, double y, double width, double height, std::string_view style,
            std::string_view tip = "");
  void line(double x1, double y1, double x2, double y2, std::string_view style);
  void polyline(Points points, std::string_view style);
  /// What lies between the points and a height.
  void area(Points points, double base, std::string_view style);
  void circle(double x, double y, double radius, std::string_view style, std::string_view tip = "");
  /// An outline with slanting lines in it: a part that is not known, or not the engine's.
  void hatched(double x, double y, double width, double height, std::string_view tip = "");
  void text(double x, double y, std::string_view content, std::string_view style = "",
            Anchor anchor = Anchor::start);

  /// The element, to stand within a page that has chart_style().
  std::string inline_text() const;
  /// A file of its own, of a result with as many engines.
  std::string file_text(size_t engines) const;

 private:
  std::string head(const std::string& style) const;
  double width_, height_;
  std::string title_, body_;
};

/// Round steps (1, 2, 5, 10, ...) from `low` to `high`, about `count` of them.
std::vector<double> ticks_between(double low, double high, int count);
/// 1, 2, 5 and their decimal multiples within low to high; low is positive.
std::vector<double> log_ticks(double low, double high);
/// Those of the ticks whose labels have room, `least` apart, by where they are drawn.
template <class Place>
std::vector<double> spaced(const std::vector<double>& ticks, Place&& place, double least) {
  std::vector<double> kept;
  for (const double tick : ticks)
    if (kept.empty() || std::abs(place(tick) - place(kept.back())) >= least) kept.push_back(tick);
  return kept;
}
/// 12345.6 as "12346", 0.01234 as "0.0123": three digits, no exponent for common sizes.
std::string short_number(double value);

}  // namespace hearth::lab
