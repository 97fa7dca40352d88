#include "hearth/lab/show/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

std::string escape_xml(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character(text, i);
    const char c = text[i];
    if (length == 0)
      out += '?';
    else if (length > 1)
      out += text.substr(i, length);
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
    else if ((c < ' ' && c != '\n') || c == 0x7f)
      out += ' ';
    else
      out += c;
    i += std::max<size_t>(length, 1);
  }
  return out;
}

// Okabe and Ito's colours, which all kinds of colour vision tell apart; lighter on dark.
std::string_view chart_style() {
  return R"(svg{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:#222}svg .dim{fill:#666}svg .bold{font-weight:600}svg .in{fill:#fff;font-weight:600}
svg .axis{stroke:#999;stroke-width:1}svg .grid{stroke:#ddd;stroke-width:1}svg .mark{fill:none;stroke:#222;stroke-width:1.3}
svg .whisker{stroke:#222;stroke-width:1.3}
svg polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}svg .dash{stroke-dasharray:4 3}
.s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}.s4{stroke:#946c00}.s5{stroke:#3a8fc0}.s6{stroke:#666}.s7{stroke:#8a5fbf}
.f0{fill:#0072b2}.f1{fill:#d55e00}.f2{fill:#009e73}.f3{fill:#cc79a7}.f4{fill:#946c00}.f5{fill:#3a8fc0}.f6{fill:#666}.f7{fill:#8a5fbf}
svg text.f0,svg text.f1,svg text.f2,svg text.f3,svg text.f4,svg text.f5,svg text.f6,svg text.f7{font-weight:600}
svg text.f0{fill:#0072b2}svg text.f1{fill:#d55e00}svg text.f2{fill:#009e73}svg text.f3{fill:#cc79a7}svg text.f4{fill:#946c00}svg text.f5{fill:#3a8fc0}svg text.f6{fill:#666}svg text.f7{fill:#8a5fbf}
@media(prefers-color-scheme:dark){svg text{fill:#ddd}svg .dim{fill:#999}svg .in{fill:#fff}svg .axis{stroke:#777}svg .grid{stroke:#333}svg .mark,svg .whisker{stroke:#eee}
.s0{stroke:#4aa8e0}.s1{stroke:#f08a3c}.s2{stroke:#35c79a}.s3{stroke:#e39cc4}.s4{stroke:#d9b13b}.s5{stroke:#8cc8ec}.s6{stroke:#aaa}.s7{stroke:#b894e6}
svg text.f0{fill:#4aa8e0}svg text.f1{fill:#f08a3c}svg text.f2{fill:#35c79a}svg text.f3{fill:#e39cc4}svg text.f4{fill:#d9b13b}svg text.f5{fill:#8cc8ec}svg text.f6{fill:#aaa}svg text.f7{fill:#b894e6}}
)";
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

std::string Svg::head(bool alone) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\"{} role=\"img\">"
      "<title>{}</title>\n{}",
      at(width_), at(height_),
      alone ? fmt::format(" width=\"{}\" height=\"{}\"", at(2 * width_), at(2 * height_)) : "",
      escape_xml(title_), alone ? fmt::format("<style>{}</style>\n", chart_style()) : "");
}
std::string Svg::inline_text() const { return head(false) + body_ + "</svg>\n"; }
std::string Svg::file_text() const { return head(true) + body_ + "</svg>\n"; }

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
