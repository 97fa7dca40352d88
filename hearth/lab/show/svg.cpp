#include "hearth/lab/show/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hearth/lab/show/text.h"

namespace hearth::lab {
namespace {

// A coordinate: a hundredth of a unit is finer than any screen.
std::string at(double value) {
  if (!std::isfinite(value)) value = 0;
  value = std::clamp(value, -1e5, 1e5);
  std::string text = fmt::format("{:.2f}", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

// The bytes of the UTF-8 character that starts at `i`, 0 if it is none that XML may hold.
size_t character(std::string_view text, size_t i) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(i);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || i + length > text.size()) return 0;
  unsigned code = length == 1 ? first : first & (0x7f >> length);
  for (size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i + k) & 0x3f);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  const bool none = code == 0xfffe || code == 0xffff || code > 0x10ffff;
  return overlong || surrogate || none ? 0 : length;
}

std::string classes(std::string_view style) {
  return style.empty() ? "" : fmt::format(" class=\"{}\"", style);
}

std::string tip_of(std::string_view tip) {
  return tip.empty() ? "/>" : "><title>" + escape_xml(tip) + "</title></";
}

}  // namespace

std::string escape_xml(std::string_view given) {
  const std::string text = printable(given);
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character(text, i);
    const char c = text[i];
    if (length == 0)
      out += '?';
    else if (length > 1)
      out.append(text, i, length);
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += c;
    i += std::max<size_t>(length, 1);
  }
  return out;
}

namespace {

struct Colour {
  std::string light, dark;
};
// Okabe and Ito's colours first, which all kinds of colour vision tell apart; lighter on dark. Then
// as far around the circle of hues as the golden angle, at one of several depths.
Colour colour_of(size_t engine) {
  constexpr std::pair<const char*, const char*> kFirst[] = {
      {"#0072b2", "#4aa8e0"}, {"#d55e00", "#f08a3c"}, {"#009e73", "#35c79a"},
      {"#cc79a7", "#e39cc4"}, {"#946c00", "#d9b13b"}, {"#8a5fbf", "#b894e6"}};
  if (engine < std::size(kFirst)) return {kFirst[engine].first, kFirst[engine].second};
  const double hue = std::fmod(137.508 * double(engine), 360);
  const size_t depth = engine % 5;
  return {fmt::format("hsl({:.2f},62%,{}%)", hue, 24 + 4 * depth),
          fmt::format("hsl({:.2f},62%,{}%)", hue, 60 + 4 * depth)};
}

}  // namespace

std::string chart_style(size_t engines) {
  std::string style =
      R"(svg{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:#222}svg .dim{fill:#666}svg .bold{font-weight:600}svg .in{fill:#fff;font-weight:600}
svg .axis{stroke:#999;stroke-width:1}svg .grid{stroke:#ddd;stroke-width:1}svg .mark{fill:none;stroke:#222;stroke-width:1.3}
svg .whisker{stroke:#222;stroke-width:1.3}svg .hatch{fill:none;stroke:#888;stroke-width:.8}svg .band{fill:#e8e8e8}svg .whole{fill:#555}svg .roof{stroke:#555}svg .part{fill:#999}
svg polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}svg .thick{stroke-width:2.4}svg .open{fill:#fff;stroke-width:1.6}svg .dash{stroke-dasharray:4 3}
)";
  std::string dark =
      "svg text{fill:#ddd}svg .dim{fill:#999}svg .in{fill:#111}svg .axis{stroke:#777}svg "
      ".grid{stroke:#333}svg .mark,svg .whisker{stroke:#eee}svg .hatch{stroke:#888}svg "
      ".band{fill:#303030}svg .whole{fill:#bbb}svg .roof{stroke:#bbb}svg .part{fill:#777}svg "
      ".open{fill:#161616}\n";
  for (size_t i = 0; i < engines; ++i) {
    const Colour c = colour_of(i);
    constexpr std::string_view kRules =
        "svg .s{0}{{stroke:{1}}}svg .f{0}{{fill:{1}}}.k{0}{{background:{1}}}\n";
    style += fmt::format(kRules, i, c.light);
    dark += fmt::format(kRules, i, c.dark);
  }
  return style + "@media(prefers-color-scheme:dark){" + dark + "}\n";
}

double text_width(std::string_view text, bool bold) {
  double width = 0;  // of 11 px: of the wider ones of the fonts that browsers take
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::max<size_t>(character(text, i), 1);
    const char c = text[i];
    if (length > 1)
      width += length == 2 ? 8 : 14;
    else if (std::string_view("iljtfrI.,:;'|!()[]/ ").find(c) != std::string_view::npos)
      width += 4.6;
    else
      width += std::string_view("mwMW@%").find(c) != std::string_view::npos ? 11.2
               : c >= 'A' && c <= 'Z'                                       ? 8.2
                                                                            : 7;
    i += length;
  }
  return bold ? 1.1 * width : width;
}

std::string fitted(std::string_view label, double width, bool bold) {
  if (text_width(label, bold) <= width) return std::string(label);
  const double room = width - text_width("..", bold);
  size_t end = 0;
  for (double used = 0; end < label.size();) {
    const size_t length = std::max<size_t>(character(label, end), 1);
    used += text_width(label.substr(end, length), bold);
    if (used > room) break;
    end += length;
  }
  return std::string(label.substr(0, end)) + "..";
}

Svg::Svg(double width, double height, std::string_view title)
    : width_(width), height_(height), title_(title) {}

void Svg::rect(double x, double y, double width, double height, std::string_view style,
               std::string_view tip) {
  body_ += fmt::format("<rect{} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}{}", classes(style),
                       at(x), at(y), at(std::max(width, 0.0)), at(std::max(height, 0.0)),
                       tip_of(tip), tip.empty() ? "\n" : "rect>\n");
}
void Svg::line(double x1, double y1, double x2, double y2, std::string_view style) {
  body_ += fmt::format("<line{} x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n", classes(style),
                       at(x1), at(y1), at(x2), at(y2));
}
void Svg::polyline(Points points, std::string_view style) {
  body_ += fmt::format("<polyline{} points=\"", classes(style));
  for (const auto& [x, y] : points) body_ += at(x) + "," + at(y) + " ";
  body_ += "\"/>\n";
}
void Svg::area(Points points, double base, std::string_view style) {
  if (points.empty()) return;
  body_ += fmt::format("<path{} d=\"M{} {}", classes(style), at(points.front().first), at(base));
  for (const auto& [x, y] : points) body_ += "L" + at(x) + " " + at(y);
  body_ += fmt::format("V{}z\"/>\n", at(base));
}
void Svg::circle(double x, double y, double radius, std::string_view style, std::string_view tip) {
  body_ += fmt::format("<circle{} cx=\"{}\" cy=\"{}\" r=\"{}\"{}{}", classes(style), at(x), at(y),
                       at(radius), tip_of(tip), tip.empty() ? "\n" : "circle>\n");
}
void Svg::text(double x, double y, std::string_view content, std::string_view style,
               Anchor anchor) {
  constexpr std::string_view kAnchors[] = {"", " text-anchor=\"middle\"", " text-anchor=\"end\""};
  body_ += fmt::format("<text{} x=\"{}\" y=\"{}\"{}>{}</text>\n", classes(style), at(x), at(y),
                       kAnchors[size_t(anchor)], escape_xml(content));
}

void Svg::hatched(double x, double y, double width, double height, std::string_view tip) {
  width = std::max(width, 1.0);
  constexpr double kStep = 6;
  std::string path =
      fmt::format("M{} {}h{}v{}h{}z", at(x), at(y), at(width), at(height), at(-width));
  // Each line rises from the left or the bottom edge to the top or the right one.
  for (double from = kStep; from < width + height; from += kStep) {
    const double left = std::max(0.0, from - height), right = std::min(from, width);
    path += fmt::format("M{} {}L{} {}", at(x + left), at(y + std::min(from, height)), at(x + right),
                        at(y + from - right));
  }
  body_ += fmt::format("<path class=\"hatch\" d=\"{}\"{}{}", path, tip_of(tip),
                       tip.empty() ? "\n" : "path>\n");
}

std::string Svg::head(const std::string& style) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\"{} role=\"img\">"
      "<title>{}</title>\n{}",
      at(width_), at(height_),
      style.empty() ? ""
                    : fmt::format(" width=\"{}\" height=\"{}\"", at(2 * width_), at(2 * height_)),
      escape_xml(title_), style.empty() ? "" : fmt::format("<style>{}</style>\n", style));
}
std::string Svg::inline_text() const { return head("") + body_ + "</svg>\n"; }
std::string Svg::file_text(size_t engines) const {
  return head(chart_style(engines)) + body_ + "</svg>\n";
}

std::vector<double> ticks_between(double low, double high, int count) {
  std::vector<double> ticks;
  const double span = high - low;
  if (!(span > 0) || !std::isfinite(span) || count < 1) return {low};
  double step = std::pow(10, std::floor(std::log10(span / count)));
  for (double factor : {1.0, 2.0, 5.0, 10.0})
    if (span / (step * factor) <= count) {
      step *= factor;
      break;
    }
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= count + 1 && (first + i) * step <= high + step * 1e-6; ++i)
    ticks.push_back((first + i) * step);
  return ticks;
}

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  if (!(low > 0) || !std::isfinite(high)) return ticks;
  for (double decade = std::pow(10, std::floor(std::log10(low)));
       decade <= high && ticks.size() < 100; decade *= 10)
    for (double factor : {1.0, 2.0, 5.0})
      if (decade * factor >= low && decade * factor <= high) ticks.push_back(decade * factor);
  return ticks;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-3 || size >= 1e6)) return fmt::format("{:.3g}", value);
  if (size >= 100) return fmt::format("{:.0f}", value);
  std::string text = fmt::format("{:.3g}", value);
  return text == "-0" ? "0" : text;
}

}  // namespace hearth::lab
