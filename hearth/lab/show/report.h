// A result as a page to look at: one HTML file without a network, charts as SVG, or a terminal.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "hearth/lab/show/charts.h"

namespace hearth::lab {

/// One self-contained page, also well-formed XML; the same bytes for the same result.
std::string report_html(const Result& result);
/// The page's charts as files of their own: name.svg -> text.
std::map<std::string, std::string> report_svgs(const Result& result);
/// Terminals obey control characters: all but new lines become spaces.
std::string printable(std::string_view text);
/// Bars of the times and sparklines of clocks and utilisation, `width` characters wide.
std::string report_text(const Result& result, int width = 78);

}  // namespace hearth::lab
